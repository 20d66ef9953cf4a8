"""``python -m data_gen.tasks.home [language]``: counts, and a few requests."""

from data_gen.tasks.home import _main
from midsentence.ending import program

program(lambda arguments: _main(*arguments[:1]), __doc__)

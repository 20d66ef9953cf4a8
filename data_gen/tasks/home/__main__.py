"""``python -m data_gen.tasks.home [language]``: counts, and a few requests."""

import sys

from data_gen.tasks.home import _main

_main(*sys.argv[1:2])

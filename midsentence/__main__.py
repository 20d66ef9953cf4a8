"""``python -m midsentence``: the console command."""

from midsentence.cli import run

if __name__ == "__main__":
    run()

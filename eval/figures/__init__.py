"""How measures are shown: tables, plots, a page, and what others published."""

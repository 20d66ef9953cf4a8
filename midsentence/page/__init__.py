"""The page of ``midsentence serve --page``: a person types or speaks, and sees the agent work before they are done.

Needs the extra ``page``; nothing else of the library imports it.
"""

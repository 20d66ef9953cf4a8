"""Conversations: their turns, their markup, and the user who speaks again."""

"""Doors to other people's stacks, each behind an extra of its own; importing midsentence needs none of them."""

"""Adapters to other voice stacks, each behind its own extra; importing midsentence needs none of them."""

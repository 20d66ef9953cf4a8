"""What drives the core: a live session, the virtual clock, and what belongs to either."""

"""What is measured of an episode, and the rows that are made of many."""

"""What must hold of rows of trajectories, row by row: their tasks made again, their logs replayed, their twins, and the
count."""

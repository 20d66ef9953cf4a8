"""Turns trajectories into ids and labels, trains adapters on them, exports what came out."""

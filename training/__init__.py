"""Turns trajectories into ids and labels, trains adapters on them, exports what came out."""

from configs.threads import wait_politely

wait_politely()

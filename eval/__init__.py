"""Replays tasks, scores them, measures latency against the bound, writes reports."""

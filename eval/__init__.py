"""Replays tasks, scores them, measures latency against the bound, writes reports."""

from configs.threads import wait_politely

wait_politely()

"""Attacks on the commands, drawn from seeds: what `scripts.bench_hostile` counts."""

"""Random schedules of the core and their judge: what `scripts.bench schedules` is made of."""

"""Task sources: each yields the same `Task`."""

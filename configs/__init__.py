"""The settings: one YAML a choice, grouped as Hydra groups them; found as ``pkg://configs``."""

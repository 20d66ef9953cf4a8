"""Makes clock-stamped streaming dialogues: tasks, speech timing, disfluency, the expert, trajectories on disk."""

"""Many live sessions at once and their judge: what `scripts.bench soak` is made of."""

"""The expert, who plays the model: what is written next, what is told to the user, and taking over from a model."""

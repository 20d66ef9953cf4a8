"""Running episodes and keeping them: who plays, on which clock, in which process; records and folders of them."""

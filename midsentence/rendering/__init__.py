"""From a transcript to what a model reads: token ids, chat formats, the system prompt."""

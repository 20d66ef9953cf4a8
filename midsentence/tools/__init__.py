"""Tools: what a tool is, the assistant's world, search over a local corpus."""

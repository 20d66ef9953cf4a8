"""What constrains decoding: the protocol's grammar, aware of a session's state."""

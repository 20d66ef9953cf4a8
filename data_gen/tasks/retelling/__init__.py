"""How a marked request is told again, a way a module."""

"""A server on this machine that speaks the Realtime API: for tests, and for people without a key. See
`scripts.loopback.__main__`."""

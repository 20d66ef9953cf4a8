"""Model backends behind one interface: append ids, stream tokens, stop now, fork."""

"""The pure core: a reducer over the call graph, and the vocabulary that it is written in. No clock, no waiting, no
chance."""

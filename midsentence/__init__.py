"""The thing that is trained, measured and deployed: protocol, call graph, core, clocks, runtime, tools, models."""

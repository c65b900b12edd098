"""Ways to decide what to keep of the graphs of all processes."""

"""Points -> the order in which they are picked, the best for their number."""

"""Any collection of graphs -> tensors, and nothing of what is not given."""

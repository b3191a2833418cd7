"""How manifold methods converge: the same problems, starts, data and tuning for ours and for their peers."""

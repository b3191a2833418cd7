"""Measured figures: the speed of every map beside its peers."""

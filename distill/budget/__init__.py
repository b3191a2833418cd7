"""What a run may spend, from a flag such as `steps:600`, `wall:10m` or `v100:2m`, and what it has spent."""

from distill.budget.budget import EPOCHS, STEPS, TRACED, UNITS, Budget, parse

__all__ = ["EPOCHS", "STEPS", "TRACED", "UNITS", "Budget", "parse"]

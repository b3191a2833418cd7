"""What a run may spend, from a flag such as `steps:600` or `epochs:5`."""

import re
from dataclasses import dataclass

from distill.errors import BudgetError

UNITS = ("steps", "epochs")


@dataclass(frozen=True)
class Budget:
    """An amount of one unit."""

    amount: int
    unit: str

    def steps(self, steps_per_epoch: int) -> int:
        """Return the optimiser steps that this budget pays for."""
        return self.amount * (steps_per_epoch if self.unit == "epochs" else 1)


def parse(text: str) -> Budget:
    """Return the budget that `text` spells.

    Raises: BudgetError.
    """
    match = re.fullmatch(rf"({'|'.join(UNITS)}):([1-9]\d*)", text.strip())
    if match is None:
        raise BudgetError(text, UNITS)
    return Budget(int(match[2]), match[1])

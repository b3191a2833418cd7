"""A budget, parsed from text."""

import math
import re
from dataclasses import dataclass

from distill.errors import BudgetError

STEPS, EPOCHS, FLOPS, WALL, V100 = UNITS = ("steps", "epochs", "flops", "wall", "v100")
# What is charged by a trace of the step.
TRACED = (FLOPS, V100)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"\d+(?:\.\d+)?(?:e\+?\d+)?"
_COUNTED = re.compile(rf"({STEPS}|{EPOCHS}):([1-9]\d*)")
_FLOPS = re.compile(rf"{FLOPS}:({_NUMBER})")
_TIMED = re.compile(rf"(?:([1-9]\d*)x)?({WALL}|{V100}):({_NUMBER})([{''.join(_SECONDS)}])")


@dataclass(frozen=True)
class Budget:
    """An amount of one unit: steps, epochs, flops, seconds of this machine (wall) or seconds of a V100 (v100)."""

    amount: float
    unit: str

    def share(self, parts: int) -> str:
        """Return the text of one part of `parts`; counts are whole and at least 1."""
        if self.unit in (STEPS, EPOCHS):
            return f"{self.unit}:{max(1, int(self.amount) // parts)}"
        return f"{self.unit}:{self.amount / parts:.12g}{'' if self.unit == FLOPS else 's'}"

    def settled(self, steps_per_epoch: int) -> "Budget":
        """Return the budget in the unit that is charged: epochs are steps."""
        return Budget(self.amount * steps_per_epoch, STEPS) if self.unit == EPOCHS else self


def parse(text: str) -> Budget:
    """Return the budget that `text` spells. `2xv100:1h` is two V100s for an hour, that is two V100-hours.

    Raises: BudgetError.
    """
    budget = _parse(text.strip())
    if budget is None or not 0 < budget.amount < math.inf:
        raise BudgetError(text)
    return budget


def _parse(text: str) -> Budget | None:
    if match := _COUNTED.fullmatch(text):
        return Budget(int(match[2]), match[1])
    if match := _FLOPS.fullmatch(text):
        return Budget(float(match[1]), FLOPS)
    match = _TIMED.fullmatch(text)
    if match is None or (match[1] and match[2] != V100):
        return None
    return Budget(int(match[1] or 1) * float(match[3]) * _SECONDS[match[4]], match[2])

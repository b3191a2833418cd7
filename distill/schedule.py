"""How long and how a run trains: its budget, its learning rate, when it is evaluated."""

import math
from dataclasses import dataclass, field

from distill.budget import STEPS
from distill.config import Optimiser, Scale

# The cosine schedule ends at this share of its peak (DeiT's 5e-6 under 5e-4).
_FINAL_SHARE = 0.01


@dataclass(frozen=True)
class Schedule:
    """What `fit` follows. The run is evaluated and checkpointed `evaluations` times, lastly at its end.

    amount: of `unit`, as `distill.budget.Budget` has them (epochs are steps by now). seed: of what modules draw from
    torch's own generator in a step, as dropout does.
    """

    amount: float
    optimiser: Optimiser
    evaluations: int = 20
    scale: Scale = field(default_factory=Scale)
    unit: str = STEPS
    seed: int = 0

    def factor(self, spent: float, *, charge: float = 1) -> float:
        """Return a step's share of the peak learning rate: linear warm-up, then a cosine to a hundredth or constant.

        spent: of the budget before the step. charge: what the step is expected to be charged, 0 if nobody knows yet.
        """
        warmup = self.optimiser.warmup * self.amount
        if self.unit == STEPS:
            warmup = math.ceil(warmup)
        if spent < warmup:
            return min(1.0, (spent + charge) / warmup)
        if self.optimiser.schedule == "constant":
            return 1.0
        progress = (spent - warmup) / max(charge, self.amount - warmup)
        return _FINAL_SHARE + (1 - _FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2

    def is_over(self, spent: float) -> bool:
        """Whether the budget is spent."""
        return spent >= self.amount

    def is_evaluated(self, before: float, spent: float) -> bool:
        """Whether the run is evaluated after the step that took what is spent from `before` to `spent`."""
        if self.unit == STEPS:
            every = max(1, self.amount // self.evaluations)
            return self.is_over(spent) or (spent % every == 0 and self.amount - spent >= every)
        share = self.amount / self.evaluations
        return self.is_over(spent) or spent // share > before // share

"""How long and how a run trains: its steps, its learning rate, when it is evaluated."""

import math
from dataclasses import dataclass, field

from distill.config import Optimiser, Scale

# The cosine schedule ends at this share of its peak (DeiT's 5e-6 under 5e-4).
_FINAL_SHARE = 0.01


@dataclass(frozen=True)
class Schedule:
    """What `fit` follows. The run is evaluated and checkpointed `evaluations` times, lastly at its end."""

    steps: int
    optimiser: Optimiser
    evaluations: int = 20
    scale: Scale = field(default_factory=Scale)

    def factor(self, step: int) -> float:
        """Return a step's share of the peak learning rate: linear warm-up, then a cosine down to a hundredth."""
        warmup = math.ceil(self.optimiser.warmup * self.steps)
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, self.steps - warmup)
        return _FINAL_SHARE + (1 - _FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2

    def is_evaluated(self, step: int) -> bool:
        """Whether the run is evaluated after `step` steps."""
        every = max(1, self.steps // self.evaluations)
        return step == self.steps or (step % every == 0 and self.steps - step >= every)

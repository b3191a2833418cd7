"""Several optimisers that step, save and load as one."""

from collections.abc import Callable
from typing import Any

import torch


class Joint(torch.optim.Optimizer):
    """Optimisers over disjoint parameters behind torch's own interface.

    `param_groups` holds the children's own group dictionaries, so learning-rate schedulers, gradient clipping
    and `zero_grad` work as on a single optimiser.
    """

    def __init__(self, optimisers: list[torch.optim.Optimizer]):
        super().__init__([group for optimiser in optimisers for group in optimiser.param_groups], {})
        self.optimisers = optimisers
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimiser in self.optimisers:
            optimiser.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"optimisers": [optimiser.state_dict() for optimiser in self.optimisers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for optimiser, state in zip(self.optimisers, state_dict["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self._share()

    def _share(self) -> None:
        # Loading replaces a child's group dictionaries, so the joint list is taken from the children again.
        self.param_groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]

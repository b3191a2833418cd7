"""An exponential moving average of a module's weights, evaluated and exported in their place."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_PARAMETRISED = ".parametrizations."


class Average:
    """θ̄ ← d·θ̄ + (1 − d)·θ over a module's parameters and floating-point buffers.

    d = min(decay, (1 + t)/(10 + t)) at step t, so that short runs aren't averages of their start (TensorFlow's rule).
    With a `start` above 0 it is BigGAN's rule instead: the weights themselves before that step, then d = decay.
    A parametrisation's buffers are left as the module has them: they belong to its present weight. Averaged vectors of
    a power iteration shrink, and gave BigGAN's weights a spectral norm of up to 1.32 instead of 1.
    Made for what is kept after training: a weight that is its own free tensor (`riemannian`, `landing`) would leave
    the manifold by being averaged.
    """

    def __init__(self, module: nn.Module, decay: float, *, start: int = 0):
        self.module, self.decay, self.start, self.updates = module, decay, start, 0
        self.averages = {name: tensor.detach().clone() for name, tensor in self._tensors()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the module's present weights in."""
        decay = self._decay()
        for name, tensor in self._tensors():
            self.averages[name].lerp_(tensor, 1 - decay)
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the module inside, and its own weights back afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes."""
        return {"averages": self.averages, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` stood."""
        self.averages, self.updates = state["averages"], state["updates"]

    def _decay(self) -> float:
        if self.start:
            return self.decay if self.updates >= self.start else 0.0
        return min(self.decay, (1 + self.updates) / (10 + self.updates))

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.module.named_parameters()
        buffers = ((name, each) for name, each in self.module.named_buffers() if _PARAMETRISED not in f".{name}")
        yield from ((name, each) for name, each in buffers if each.is_floating_point())

    @torch.no_grad()
    def _swap(self) -> None:
        for name, tensor in self._tensors():
            kept = tensor.clone()
            tensor.copy_(self.averages[name])
            self.averages[name] = kept

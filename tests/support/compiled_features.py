"""Take intermediate features inside torch.compile and print how far they are from the map, as JSON.

A program of its own: the tests' shape checker wraps every function, and Dynamo can't trace through it.
"""

import json
from functools import partial

import torch
from torch import Tensor, nn

from distill import models
from distill.errors import ModelError
from distill.features import intermediate


class Trained(nn.Module):
    """A task's module: it opens the context inside its own forward."""

    def __init__(self, student: models.Backbone):
        super().__init__()
        self.student = student

    def forward(self, pixels: Tensor) -> Tensor:
        with intermediate(self.student, ["norm"]) as maps:
            output = self.student(pixels)
        return maps["norm"] - output.map


def build() -> models.Backbone:
    return models.build("deit", classes=3, image_size=8, channels=1).requires_grad_(False)


def inside(pixels: Tensor) -> float:
    compiled = torch.compile(Trained(build()), backend="aot_eager")
    return float(compiled(pixels).abs().max())


def outside(pixels: Tensor, *, is_called_before: bool) -> float | str:
    """Return the largest difference, or that it was refused."""
    compiled = torch.compile(build(), backend="aot_eager")
    if is_called_before:
        compiled(pixels)
    try:
        with intermediate(compiled, ["norm"]) as maps:
            output = compiled(pixels)
    except ModelError:
        return "refused"
    return float((maps["norm"] - output.map).abs().max())


def every(pixels: Tensor) -> list[float | str]:
    found: list[float | str] = []
    for measure in (inside, partial(outside, is_called_before=False), partial(outside, is_called_before=True)):
        torch.compiler.reset()
        found.append(measure(pixels))
    return found


if __name__ == "__main__":
    pixels = torch.randn(2, 1, 8, 8)
    found = {"default": every(pixels)}
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    print(json.dumps(found | {"guarded": every(pixels)}))

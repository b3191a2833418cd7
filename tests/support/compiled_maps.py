"""Compile every map and print the worst error of its point and gradient, in units of n·eps, as JSON.

A program of its own: the tests' shape checker wraps every function, and Dynamo can't trace through it.
"""

import json
import warnings
from collections.abc import Callable

import torch

import stiefel

SHAPES = ((12, 4), (4, 4), (2, 6, 2))


def worst_error(name: str, shape: tuple[int, ...]) -> float:
    generator = torch.Generator().manual_seed(0)
    parameterisation = stiefel.get(name)(*shape)
    parameterisation.right_inverse(stiefel.random_point(*shape, generator=generator))
    free, upstream = 0.3 * torch.randn(2, *shape, generator=generator)
    free.requires_grad_()

    def both(function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        point = function(free)
        return torch.stack([point.detach(), *torch.autograd.grad(point, free, upstream)])

    torch.compiler.reset()
    compiled = torch.compile(parameterisation, fullgraph=True, backend="aot_eager")
    difference = (both(compiled) - both(parameterisation)).abs().max()
    return float(difference) / (shape[-2] * torch.finfo(torch.float32).eps)


if __name__ == "__main__":
    # Dynamo of torch 2.13 instantiates autograd functions to trace them, against torch's own advice.
    warnings.simplefilter("ignore", DeprecationWarning)
    names = [name for name in stiefel.names() if stiefel.get(name).claims.optimiser == "any"]
    print(json.dumps({name: max(worst_error(name, shape) for shape in SHAPES) for name in names}))

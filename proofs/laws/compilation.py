"""The law of the compiler: one graph, and the results of eager mode."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from proofs.cases import Case
from proofs.laws.setting import attached, distance, place, size, trained_tensor, worst
from stiefel import Parameterisation, optim

# Traced by Dynamo and by AOT autograd, as for every backend; what a code generator adds is not this law's to judge.
_BACKEND = "aot_eager"

Compiler = Callable[[Callable[..., Any]], Callable[..., Any]]


def compiled_equals_eager(by: type[Parameterisation], case: Case) -> float:
    """`torch.compile` makes one graph of the map, and changes no result of it or of its Riemannian optimiser's step.

    Twice residual·n·eps·max(1, ‖F‖) for the rounding of either side: of the point, and of the gradient where the
    upstream one has norm 1.
    """
    is_point = by.claims.optimiser == "riemannian"
    results = _steps if is_point else _point_and_gradient
    with warnings.catch_warnings():
        # Dynamo of torch 2.13 instantiates autograd functions to trace them, against torch's own advice.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.compiler.reset()
        compiled = results(by, case, lambda function: torch.compile(function, fullgraph=not is_point, backend=_BACKEND))
    defect = worst(map(distance, compiled, results(by, case, lambda function: function)))
    return defect / (2 * by.claims.residual * case.unit * size(case.matrices()[1]))


def _point_and_gradient(by: type[Parameterisation], case: Case, compiler: Compiler) -> list[Tensor]:
    setting = place(by, case)
    upstream = case.random(*case.shape, stream=15).to(case.dtype)
    free = setting.free.clone().requires_grad_()
    point = compiler(setting.map)(free)
    return [point, torch.autograd.grad(point, free, upstream / upstream.norm())[0]]


def _steps(by: type[Parameterisation], case: Case, compiler: Compiler) -> list[Tensor]:
    module = attached(by, case.matrices()[0])
    # Not Adam: it divides by the gradient's norm, which is rounding where the gradient is normal to the manifold.
    optimiser = optim.build(module, "sgd", lr=0.1)
    step = compiler(optimiser.step)
    for gradient in case.random(2, *case.shape, stream=15).to(case.dtype):
        trained_tensor(module).grad = gradient / gradient.norm()
        step()
    return [module.weight]

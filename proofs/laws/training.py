"""Laws of use: optimisers, averages, checkpoints and low precision keep an attached weight orthonormal."""

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from proofs.cases import Case
from proofs.errors import BrokenLaw
from proofs.laws.setting import Setting, attached, place, reach, trained_tensor, worst
from stiefel import Parameterisation, StiefelError, optim, residual_in_eps

_STEPS = 8


def trained(by: type[Parameterisation], case: Case) -> float:
    """After every step of momentum SGD and of AdamW, with weight decay, the weight is on the manifold.

    Maps for any optimiser get torch's own, decay and all; a Riemannian map gets what `stiefel.optim.build` gives.
    """
    setting = place(by, case)
    return (
        worst(residual for name in ("sgd", "adamw") for residual in _run(by, case, setting, name)) / by.claims.residual
    )


def averaged(by: type[Parameterisation], case: Case) -> float:
    """An exponential moving average of the trained tensors (torch's AveragedModel) is on the manifold."""
    setting = place(by, case)
    module = attached(by, setting.base)
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    for fraction in (1.0, 0.5, -1.0):
        trained_tensor(module).data.copy_(setting.start + fraction * setting.step)
        average.update_parameters(module)
    twin = copy.deepcopy(module)
    twin.load_state_dict(average.module.state_dict())
    return residual_in_eps(twin.weight) / by.claims.residual


def saved_and_copied(by: type[Parameterisation], case: Case) -> float:
    """A state_dict loaded into a new module, and a deepcopy, give the same weight to the last bit."""
    setting = place(by, case)
    module = attached(by, setting.base)
    trained_tensor(module).data.copy_(setting.free)
    weight = module.weight.detach()
    loaded = attached(by, case.matrices()[0].flip(-2).contiguous())
    loaded.load_state_dict(module.state_dict())
    copied = copy.deepcopy(module)
    for how, other in (("state_dict", loaded), ("deepcopy", copied)):
        if not torch.equal(other.weight, weight):
            raise BrokenLaw(f"{how} gives another weight")
    return 0.0


def precision_kept(by: type[Parameterisation], case: Case) -> float:
    """Autocast changes no bit of a weight; stored in bfloat16 it is off by rounding alone, ‖E‖_F <= 2√n·eps.

    Rounding moves each entry by eps/2 of itself, so ‖δX‖_F <= √p·eps/2 and ‖E‖_F <= 2‖δX‖ + ‖δX‖² <= 2√n·eps.
    """
    setting = place(by, case)
    module = attached(by, setting.base)
    trained_tensor(module).data.copy_(setting.free)
    outside = module.weight
    with torch.autocast("cpu", torch.bfloat16):
        inside = module.weight
    if inside.dtype != case.dtype or not torch.equal(inside, outside):
        raise BrokenLaw("autocast changes the weight")
    stored = attached(by, setting.base.bfloat16())
    trained_tensor(stored).data.copy_(setting.free)
    if stored.weight.dtype != torch.bfloat16:
        raise BrokenLaw(f"a bfloat16 weight became {stored.weight.dtype}")
    wide = stored.weight.detach().double()
    error = torch.linalg.matrix_norm(wide.mT @ wide - torch.eye(case.p, dtype=wide.dtype))
    return float(error.amax()) / (2 * case.n**0.5 * torch.finfo(torch.bfloat16).eps)


def bad_input_refused(by: type[Parameterisation], case: Case) -> float:
    """NaN, infinity, a wrong shape, integers, an empty or a wide shape: each raises a StiefelError, not another."""
    setting = place(by, case)
    poisoned = {"NaN": math.nan, "infinity": math.inf}
    tensors = {what: setting.free.clone().fill_(value) for what, value in poisoned.items()}
    tensors["one row too many"] = torch.cat([setting.free, setting.free[..., :1, :]], -2)
    tensors["integers"] = setting.free.long()
    calls: dict[str, Callable[[], object]] = {}
    for what, tensor in tensors.items():
        calls[f"forward of {what}"] = partial(setting.map, tensor)
        calls[f"right_inverse of {what}"] = partial(setting.map.right_inverse, tensor)
    for shape in ((case.n, 0), (0, 0), (case.n, case.n + 1), (case.n,)):
        calls[f"shape {shape}"] = partial(by, *shape)
    for what, call in calls.items():
        try:
            call()
        except StiefelError:
            continue
        except Exception as error:
            raise BrokenLaw(f"{what} raises {type(error).__name__}, not a StiefelError") from error
        raise BrokenLaw(f"{what} is accepted")
    return 0.0


def _run(by: type[Parameterisation], case: Case, setting: Setting, name: str) -> Iterator[float]:
    """Yield the residual in n·eps after each step of a run with random gradients."""
    module = attached(by, setting.base)
    optimiser = _optimiser(by, case, module, name)
    for gradient in case.random(_STEPS, *case.shape, stream=10).to(case.dtype):
        optimiser.zero_grad()
        (module.weight * gradient / gradient.norm()).sum().backward()
        optimiser.step()
        yield residual_in_eps(module.weight)


def _optimiser(by: type[Parameterisation], case: Case, module: nn.Module, name: str) -> torch.optim.Optimizer:
    # The free tensor stays in the domain: AdamW moves an entry by about lr a step, which leaves ‖F‖_F <= reach/4;
    # SGD's gradients have norm one and momentum adds them up to 1 + 2 + … + 8 = 36 of them, reach/2.
    lr = reach(by) / (4 * _STEPS * case.n) if name == "adamw" else reach(by) / 72
    if by.claims.optimiser == "riemannian":
        return optim.build(module, name, lr=lr, weight_decay=0.1)
    if name == "adamw":
        return torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=0.1)
    return torch.optim.SGD(module.parameters(), lr=lr, momentum=0.9, weight_decay=0.1)

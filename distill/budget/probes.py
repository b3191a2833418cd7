"""Small measurements that a machine's sheet is made from."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

import stiefel
from distill.budget import model
from distill.budget.sheet import ATTENTION, CONVOLUTION, FACTORISATIONS, PRODUCT, Factorisation, Sheet
from distill.budget.step import Step, traced
from distill.budget.trace import Trace
from distill.environment import environment
from distill.models.deit import DeiT

_MIB = 2**20
# Edges of products: one at the full rate, one well below it, and one that is done in a plain loop.
_LARGE, _SMALL, _TINY = {"cpu": 640, "cuda": 4096}, 128, 4
_RATES = {"cpu": ("float32", "float64", "bfloat16"), "cuda": ("float32", "float64", "bfloat16", "float16")}
# Of factorisations: with more columns than these the rate counts, with fewer their latency.
_SIZES = (32, 192)
# Entries past every cache; and of a layer's output, as many of them as a step goes through before it is back.
_FAR, _NEAR = 16 * _MIB, _MIB // 16
# What fits the cache, as far as the operators of a step leave each other's results there.
_CACHE = {"cpu": 16 * _MIB, "cuda": 0}
# Operands of one probe: a step never finds its operands in the first cache, as a loop over the same ones would.
_OPERANDS = 16

_FACTORISERS: dict[str, Callable[[Tensor], object]] = {
    "cholesky": torch.linalg.cholesky_ex,
    "lu": torch.linalg.lu_factor_ex,
    "inverse": torch.linalg.inv_ex,
    "triangular_solve": lambda matrix: torch.linalg.solve_triangular(matrix, matrix, upper=True),
    "qr": torch.linalg.qr,
    "eigh": torch.linalg.eigh,
    "svd": torch.linalg.svd,
}


@dataclass(frozen=True)
class Probe:
    """A step with its trace."""

    step: Step
    trace: Trace

    @property
    def calls(self) -> int:
        """How many operators it calls."""
        return sum(self.trace.operations.values())


def probes(device: str) -> dict[str, Probe]:
    """Return what is measured."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, dtype)

    steps: dict[str, Step] = {"launch": _tiny_training_step(device), "step": _small_training_step(device)}
    for name in _RATES[device]:
        large = normal(_LARGE[device], _LARGE[device], dtype=getattr(torch, name))
        steps[f"product {name}"] = lambda large=large: large @ large
    steps["small products"] = _over([normal(_SMALL, _SMALL) for _ in range(_OPERANDS)], lambda each: each @ each.mT)
    steps["tiny products"] = _over([normal(2048, _TINY, _TINY)], lambda each: each @ each)
    # Into fresh memory, as a step's operators write: its pages are part of the price on a CPU.
    steps["far"] = _over([normal(_FAR)], lambda each: each + each)
    near = [normal(_NEAR) for _ in range(_OPERANDS)]
    steps["near"] = _over(near, lambda each: each + near[0])
    steps["special"] = _over(near, functional.gelu)
    steps["convolution"] = _convolution(normal)
    steps["attention"] = _attention(normal, 64)
    steps["small attention"] = _attention(normal, 8)
    for size in _SIZES:
        matrices = [each @ each.mT + size * torch.eye(size, device=device) for each in normal(_OPERANDS, size, size)]
        for name, factorise in _FACTORISERS.items():
            steps[f"{name} {size}"] = _over(matrices, factorise)
    return {name: Probe(step, traced(step)) for name, step in steps.items()}


def fit(found: Mapping[str, Probe], seconds: Mapping[str, float], device: str) -> Sheet:
    """Return the sheet that the probes' seconds make."""
    launch = seconds["launch"] / found["launch"].calls

    def work(name: str) -> float:
        # On a slow launch a probe may be all launch: then a tenth of it is work, for want of better knowledge.
        return max(seconds[name] - found[name].calls * launch, seconds[name] / 10)

    def rate(name: str) -> float:
        return found[name].trace.flops / work(name)

    def bandwidth(name: str) -> float:
        operations = found[name].trace.operations
        return sum(each.bytes * count for each, count in operations.items()) / work(name)

    def factorisation(name: str) -> Factorisation:
        known = [(work(f"{name} {size}"), found[f"{name} {size}"].trace.flops) for size in _SIZES]
        (brief, few), (long, many) = known
        return _fitted(brief / _OPERANDS, few / _OPERANDS, long / _OPERANDS, many / _OPERANDS)

    large = _LARGE[device]
    half = {
        PRODUCT: _half(_SMALL, rate("small products"), large, rate("product float32")),
        ATTENTION: _half(8, rate("small attention"), 64, rate("attention")),
    }
    peaks = {name: rate(f"product {name}") * (1 + half[PRODUCT] / large) for name in _RATES[device]}
    warm = Sheet(
        name=str(environment()["gpu"] if device == "cuda" else environment()["processor"]),
        source=f"distill budget calibrate, torch {torch.__version__}, {torch.get_num_threads()} threads",
        rate=peaks,
        efficiency={
            PRODUCT: 1.0,
            CONVOLUTION: rate("convolution") / peaks["float32"],
            ATTENTION: rate("attention") * (1 + half[ATTENTION] / 64) / peaks["float32"],
        },
        half=half,
        tile=64,
        units=torch.cuda.get_device_properties(device).multi_processor_count if device == "cuda" else 1,
        tiny=rate("tiny products"),
        bandwidth=bandwidth("far"),
        cache_bandwidth=bandwidth("near"),
        cache=_CACHE[device],
        special=_OPERANDS * _NEAR / work("special"),
        launch_s=launch,
        view_s=launch if device == "cpu" else 0.0,
        cold=1.0,
        fused=64 if device == "cuda" else 1,
        memory=_memory(device),
        factorisations={name: factorisation(name) for name in FACTORISATIONS},
    )
    return replace(warm, cold=max(1.0, seconds["step"] / model.step_seconds(found["step"].trace, warm)))


def _half(small: int, slow: float, large: int, quick: float) -> float:
    """Return h of rate(d) = peak · d / (d + h), given the rates at two sizes."""
    slower = min(1.0, slow / quick)
    return large * small * (1 - slower) / max(large * slower - small, 1.0)


def _fitted(brief: float, few: float, long: float, many: float) -> Factorisation:
    """Solve p · column_s + flops / rate = seconds, given (seconds, flops) at both sizes; neither may be negative."""
    small, large = _SIZES
    column = max(0.0, (brief * many - long * few) / (small * many - large * few))
    return Factorisation(column, many / max(long - large * column, long / 100))


def _over(operands: Sequence[Tensor], operation: Callable[[Tensor], object]) -> Step:
    """Return the step that does one operation on every operand and keeps the results until its end."""
    return lambda: [operation(each) for each in operands]


def _tiny_training_step(device: str) -> Step:
    """Return a training step of so small a network that nothing but its operators' number counts."""
    layers = [nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU()) for _ in range(8)]
    network = nn.Sequential(*layers).to(device)
    optimiser = stiefel.optim.build(network, lr=0.0)
    batch = torch.ones(8, 8, device=device)

    def step() -> None:
        optimiser.zero_grad()
        network(batch).square().mean().backward()
        optimiser.step()

    return step


def _small_training_step(device: str) -> Step:
    """Return a training step of a transformer that is none of the reference steps, to see operators among others."""
    network = DeiT(image_size=16, channels=3, classes=10, width=96, depth=2, heads=4, patch=4).to(device)
    optimiser = stiefel.optim.build(network, lr=0.0)
    pixels = torch.ones(32, 3, 16, 16, device=device)

    def step() -> None:
        optimiser.zero_grad()
        network(pixels).logits.square().mean().backward()
        optimiser.step()

    return step


def _convolution(normal: Callable[..., Tensor]) -> Step:
    image, kernel = normal(16, 32, 16, 16).requires_grad_(), normal(64, 32, 3, 3).requires_grad_()
    above = normal(16, 64, 16, 16)
    return lambda: torch.autograd.grad(functional.conv2d(image, kernel, padding=1), [image, kernel], above)


def _attention(normal: Callable[..., Tensor], size: int) -> Step:
    """Return attention over 2 · size tokens of width `size`."""
    query, key, value = (normal(16, 4, 2 * size, size).requires_grad_() for _ in range(3))
    above = normal(16, 4, 2 * size, size)
    attend = functional.scaled_dot_product_attention
    return lambda: torch.autograd.grad(attend(query, key, value), [query, key, value], above)


def _memory(device: str) -> float:
    if device == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

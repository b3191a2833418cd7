"""The reference steps that a prediction is held against: training steps of small models, and weights alone."""

import torch
from torch import nn
from torch.nn import functional

import stiefel
from distill import models, recipe, tasks
from distill.budget.step import Step, traced, training_step
from distill.budget.trace import Trace
from stiefel.attach import free_tensors

SHAPES = ((3024, 192), (768, 192), (192, 192))
# Those whose cost grows as n³ take 5 s a step at 3024 rows.
_LARGEST_DENSE = 1000
_TASK = "classification"


def references(device: str) -> dict[str, dict[str, tuple[Step, Trace]]]:
    """Return the steps with their traces, in groups: the digits student by projector, models, weights by map."""
    groups = {"digits student": {name: _digits(name, device) for name in ("linear", *stiefel.names())}}
    groups["models"] = {"small DeiT": _deit(device), "convnet": _convnet(device)}
    for n, p in SHAPES:
        names = [name for name in stiefel.names() if name != "dense_exponential" or n <= _LARGEST_DENSE]
        groups[f"weight {n} x {p}"] = {name: _weight(name, n, p, device) for name in names}
    return groups


def _digits(name: str, device: str) -> tuple[Step, Trace]:
    keys = ["--projector", "linear"] if name == "linear" else ["--parameterisation", name]
    config = recipe.load(_TASK, "digits", ["--device", device, *keys])
    task = tasks.get(_TASK).untaught(config)
    step = training_step(task, config)
    return step, traced(step, task)


def _deit(device: str) -> tuple[Step, Trace]:
    shape = {"width": 192, "depth": 3, "heads": 3, "patch": 4}
    return _supervised(models.build("deit", classes=10, image_size=32, channels=3, shape=shape), device, images=8)


def _convnet(device: str) -> tuple[Step, Trace]:
    return _supervised(models.build("convnet", classes=10, image_size=32, channels=3), device, images=16)


def _supervised(model: models.Backbone, device: str, *, images: int) -> tuple[Step, Trace]:
    model = model.to(device)
    optimiser = stiefel.optim.build(model, lr=0.0)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(images, 3, 32, 32, generator=generator).to(device)
    labels = (torch.arange(images) % 10).to(device)

    def step() -> None:
        optimiser.zero_grad()
        functional.cross_entropy(model(pixels).logits, labels).backward()
        optimiser.step()

    return step, traced(step)


def _weight(by: str, n: int, p: int, device: str) -> tuple[Step, Trace]:
    """Return the weight of n × p computed, its gradient pulled back and a step of SGD taken."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(p, n, bias=False).to(device)
    with torch.no_grad():
        layer.weight.copy_(stiefel.random_point(n, p, generator=generator))
    stiefel.attach(layer, "weight", by=by)
    if stiefel.get(by).claims.optimiser == "any":
        with torch.no_grad():
            for free in free_tensors(layer):
                # A spectral norm of about 0.5: as far from the base as some hundred steps of training go.
                free.add_(torch.randn(free.shape, generator=generator).to(free), alpha=0.5 / (n**0.5 + p**0.5))
    optimiser = stiefel.optim.build(layer, "sgd", lr=0.0)
    upstream = torch.randn(n, p, generator=generator).to(device)

    def step() -> None:
        optimiser.zero_grad()
        layer.weight.backward(upstream)
        optimiser.step()

    return step, traced(step)

"""The moving average is the recurrence, and is put in and taken out without a trace."""

import torch
from torch import nn

from distill.average import Average


def test_it_follows_the_recurrence_in_float64() -> None:
    module = nn.Linear(3, 2)
    average = Average(module, 0.9)
    expected = module.weight.detach().double()
    generator = torch.Generator().manual_seed(0)
    for step in range(50):
        with torch.no_grad():
            module.weight.copy_(torch.randn(2, 3, generator=generator))
        average.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach().double()
    # Fifty roundings of numbers about 1, each shrunk by later steps.
    assert (average.averages["weight"] - expected).abs().max() <= 50 * torch.finfo(torch.float32).eps


def test_inside_the_module_is_the_average_and_outside_itself_again() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    average = Average(module, 0.5)
    module(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        module[0].weight.add_(1.0)
    average.update()
    own = {name: value.clone() for name, value in module.state_dict().items()}
    with average.applied():
        assert not torch.equal(module[0].weight, own["0.weight"])
        assert not torch.equal(module[1].running_mean, own["1.running_mean"])
    assert all(torch.equal(value, own[name]) for name, value in module.state_dict().items())

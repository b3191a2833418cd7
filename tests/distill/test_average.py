"""The moving average is the recurrence, and is put in and taken out without a trace."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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


@pytest.mark.parametrize("start", [1, 7])
def test_from_its_start_it_is_torchs_average_and_before_the_weights_themselves(start: int) -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    average, generator = Average(module, 0.9, start=start), torch.Generator().manual_seed(0)
    theirs: AveragedModel | None = None
    for step in range(20):
        with torch.no_grad():
            for each in module.parameters():
                each.copy_(torch.randn(each.shape, generator=generator))
        module(torch.randn(8, 3, generator=generator))
        average.update()
        if step < start:
            # AveragedModel takes the weights as they are at its first update.
            theirs = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
            assert torch.equal(average.averages["0.weight"], module[0].weight)
        assert theirs is not None
        theirs.update_parameters(module)
    expected = theirs.module.state_dict()
    for name, value in average.averages.items():
        # Twenty roundings of numbers about 1, each shrunk by later steps.
        assert (value - expected[name]).abs().max() <= 20 * torch.finfo(torch.float32).eps


def test_a_spectral_norm_of_averaged_weights_stays_near_one() -> None:
    module, generator = spectral_norm(nn.Linear(8, 8)), torch.Generator().manual_seed(0)
    average = Average(module, 0.95)
    for _ in range(100):
        with torch.no_grad():
            module.parametrizations.weight.original.add_(torch.randn(8, 8, generator=generator), alpha=0.02)
        module(torch.zeros(1, 8))
        average.update()
    module.eval()
    with average.applied():
        # The vectors are those of the last weights, twenty steps of 0.02 away from the average's.
        assert float(torch.linalg.matrix_norm(module.weight.detach(), 2)) == pytest.approx(1, abs=0.05)

"""The players' losses, and the penalties on gradients against finite differences."""

import math

import pytest
import torch
from torch import Tensor

from distill.generation import adversarial
from distill.generation.adversarial import STAKES, gradient_penalty, path_lengths, path_penalty
from distill.generation.models import build
from distill.generation.models.networks import StyledGenerator
from distill.task import seeded

# A central difference of step h errs by h² and by eps/h of the values: 1e-5 leaves 1e-10 … 1e-9 of O(1) quantities.
STEP, TOLERANCE = 1e-5, 1e-7


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", STAKES)
def test_a_better_player_pays_less(name: str) -> None:
    stakes, zero = adversarial.build(name), torch.zeros(4)
    assert float(stakes.discriminator(zero, zero)) == pytest.approx(stakes.silent)
    assert stakes.discriminator(zero + 1, zero - 1) < stakes.discriminator(zero, zero)
    assert stakes.generator(zero + 1) < stakes.generator(zero)


def test_the_hinge_is_flat_beyond_one() -> None:
    stakes = adversarial.build("hinge")
    assert float(stakes.discriminator(torch.full((4,), 3.0), torch.full((4,), -1.0))) == 0.0


def central(function, point: Tensor, direction: Tensor) -> float:
    return float((function(point + STEP * direction) - function(point - STEP * direction)).detach() / (2 * STEP))


def test_r1_is_half_the_squared_norm_that_finite_differences_give() -> None:
    with seeded(0):
        _, discriminator = build("stylegan2_small", 0, 8, 1)
    discriminator.double()
    images = numbers(2, 1, 8, 8).requires_grad_()
    penalty = gradient_penalty(discriminator(images, None).logits, images).detach()

    def total(pixels: Tensor) -> Tensor:
        with torch.no_grad():
            return discriminator(pixels, None).logits.sum()

    # Along its own gradient g, the logits' sum grows by ‖g‖².
    (gradient,) = torch.autograd.grad(discriminator(images, None).logits.sum(), images)
    square = central(total, images.detach(), gradient)
    assert float(penalty) == pytest.approx(square / 2 / 2, rel=TOLERANCE)


def test_the_gradient_of_r1_is_that_of_finite_differences() -> None:
    with seeded(0):
        _, discriminator = build("stylegan2_small", 0, 8, 1)
    discriminator.double()
    weight = discriminator.convolution.weight
    images = numbers(2, 1, 8, 8).requires_grad_()

    def penalty(value: Tensor) -> Tensor:
        with torch.no_grad():
            weight.copy_(value)
        return gradient_penalty(discriminator(images, None).logits, images)

    start, direction = weight.detach().clone(), numbers(*weight.shape, seed=1)
    (gradient,) = torch.autograd.grad(penalty(start), weight)
    assert float((gradient * direction).sum().detach()) == pytest.approx(
        central(penalty, start, direction), rel=TOLERANCE
    )


def styled(size: int = 8) -> StyledGenerator:
    with seeded(0):
        generator, _ = build("stylegan2_small", 0, size, 1)
    assert isinstance(generator, StyledGenerator)
    return generator.double()


def test_a_path_length_is_that_of_the_jacobian() -> None:
    generator = styled()
    styles = generator.styles(numbers(2, generator.latent_dim)).detach().requires_grad_()
    noise = numbers(2, 1, 8, 8, seed=1)
    lengths = path_lengths(generator.synthesise(styles), styles, noise).detach()

    def projected(at: Tensor) -> Tensor:
        with torch.no_grad():
            return (generator.synthesise(at) * noise).sum() / math.sqrt(8 * 8)

    # Along its own gradient g a path is as long as g: the difference there gives ‖g‖², each layer's in turn.
    (gradient,) = torch.autograd.grad(projected_graph(generator, styles, noise), styles)
    for image in range(2):
        direction = torch.zeros_like(styles)
        direction[image] = gradient[image]
        square = central(projected, styles.detach(), direction)
        assert float(lengths[image]) == pytest.approx(math.sqrt(square / styles.shape[1]), rel=TOLERANCE)


def projected_graph(generator: StyledGenerator, styles: Tensor, noise: Tensor) -> Tensor:
    return (generator.synthesise(styles) * noise).sum() / math.sqrt(8 * 8)


def test_the_gradient_of_the_path_penalty_is_that_of_finite_differences() -> None:
    generator = styled()
    latent, noise, weight = numbers(2, generator.latent_dim), numbers(2, 1, 8, 8, seed=1), generator.start

    def penalty(value: Tensor) -> Tensor:
        with torch.no_grad():
            weight.copy_(value)
        styles = generator.styles(latent)
        lengths = path_lengths(generator.synthesise(styles), styles, noise)
        return (lengths - 1).square().mean()

    start, direction = weight.detach().clone(), numbers(*weight.shape, seed=2)
    (gradient,) = torch.autograd.grad(penalty(start), weight)
    assert float((gradient * direction).sum().detach()) == pytest.approx(
        central(penalty, start, direction), rel=TOLERANCE
    )


def test_the_path_penalty_follows_the_running_mean() -> None:
    mean, lengths = torch.tensor(1.0), torch.tensor([3.0, 5.0])
    penalty = path_penalty(lengths, mean)
    assert float(mean) == pytest.approx(1.03)
    assert float(penalty) == pytest.approx(((3 - 1.03) ** 2 + (5 - 1.03) ** 2) / 2)


def test_the_running_mean_of_path_lengths_is_that_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversarial, "average_over_processes", lambda own: (own + 8) / 2)  # the other slice's mean: 8
    mean = torch.tensor(1.0)
    path_penalty(torch.tensor([3.0, 5.0]), mean)
    assert float(mean) == pytest.approx(1 + 0.01 * (6 - 1))


def test_path_lengths_may_be_of_lower_precision_than_their_mean() -> None:
    mean, lengths = torch.tensor(1.0), torch.tensor([3.0, 5.0])
    assert path_penalty(lengths.bfloat16(), mean.clone()) == path_penalty(lengths, mean)  # 3 and 5 are exact

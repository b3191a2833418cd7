"""Limits that the mathematics sets and shortcuts that ignore it: what breaks, and what our maps do there."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

import stiefel
from proofs.laws import LAWS, Law
from proofs.verify import judge
from stiefel.errors import NonFiniteError
from stiefel.linalg import skew

NAMES = stiefel.names()
TRIVIALISED = [name for name in NAMES if stiefel.get(name).claims.optimiser == "any"]
# These two read a derivative, which a constant NaN has not, and what is refused: never the point itself.
VALUE_LAWS = [law for law in LAWS.values() if law.name not in ("projection at base", "bad input refused")]
EPS = torch.finfo(torch.float64).eps


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def of_norm(norm: float, matrix: Tensor) -> Tensor:
    return matrix * (norm / torch.linalg.matrix_norm(matrix, ord=2))


def square(by: str, size: int) -> nn.Linear:
    layer = nn.Linear(size, size, bias=False, dtype=torch.float64)
    layer.weight.data.copy_(torch.eye(size))
    stiefel.attach(layer, by=by)
    return layer


@pytest.mark.parametrize("norm", [1.0, math.pi, 1e3])
def test_cayley_never_reaches_the_half_turn_from_its_base(norm: float) -> None:
    turn = torch.tensor([[0.0, -norm], [norm, 0.0]], dtype=torch.float64)
    point = stiefel.get("cayley")(2, 2, dtype=torch.float64)(turn)
    # The map turns by 2·atan(norm/2), which is half a turn only in the limit.
    assert float(torch.atan2(point[1, 0], point[0, 0])) == pytest.approx(2 * math.atan(norm / 2), abs=4 * EPS)


@pytest.mark.parametrize("name", NAMES)
def test_an_assigned_half_turn_is_reached_by_moving_the_base(name: str) -> None:
    layer = square(name, 2)
    layer.weight = -torch.eye(2, dtype=torch.float64)
    assert (layer.weight + torch.eye(2)).abs().max() <= stiefel.get(name).claims.residual * 2 * EPS


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", TRIVIALISED)
def test_a_square_weight_stays_in_the_determinant_component_that_it_was_given(name: str, sign: float) -> None:
    layer = square(name, 3)
    layer.weight = torch.diag(torch.tensor([1.0, 1.0, sign], dtype=torch.float64))
    for seed in range(10):
        layer.parametrizations.weight.original.data.copy_(of_norm(math.pi, gaussian(3, 3, seed=seed)))
        assert float(torch.linalg.det(layer.weight.detach())) == pytest.approx(sign, abs=30 * 3 * EPS)


@pytest.mark.parametrize("name", ["exponential", "dense_exponential"])
def test_the_exponential_loses_directions_at_a_full_turn_and_rebase_returns_them(name: str) -> None:
    layer = square(name, 3)
    generator = torch.zeros(3, 3, dtype=torch.float64)
    generator[1, 0], generator[0, 1] = 1.0, -1.0
    free = layer.parametrizations.weight.original
    free.data.copy_(2 * math.pi * generator)
    each = stiefel.adapter(layer).map
    assert directions(each, free.detach()) == 1
    stiefel.rebase(layer)
    assert directions(each, free.detach()) == 3


def directions(each: nn.Module, free: Tensor) -> int:
    """Return how many dimensions the point can move in."""
    derivative = jacobian(each, free).reshape(free.numel(), free.numel())
    return int(torch.linalg.matrix_rank(derivative, atol=1e3 * EPS))


def cayley_neumann(generator: Tensor) -> Tensor:
    """Return the Cayley transform with its inverse cut after five terms of the Neumann series."""
    eye = torch.eye(len(generator), dtype=generator.dtype)
    terms = [torch.linalg.matrix_power(generator / 2, k) for k in range(5)]
    return sum(terms) @ (eye + generator / 2)


def five_newton_schulz_steps(matrix: Tensor) -> Tensor:
    """Return the polar factor as Muon approximates it. Source: Jordan 2024."""
    matrix = matrix / matrix.norm()
    for _ in range(5):
        gram = matrix.mT @ matrix
        matrix = 3.4445 * matrix - 4.7750 * matrix @ gram + 2.0315 * matrix @ gram @ gram
    return matrix


@pytest.mark.parametrize("norm", [1.0, 2.0])
def test_a_truncated_cayley_transform_is_not_orthogonal(norm: float) -> None:
    assert stiefel.residual(cayley_neumann(of_norm(norm, skew(gaussian(6, 6))))) > 1e-3


@pytest.mark.parametrize("norm", [1.0, 2.0])
def test_five_newton_schulz_steps_are_not_orthogonal(norm: float) -> None:
    assert stiefel.residual(five_newton_schulz_steps(torch.eye(6) + of_norm(norm, gaussian(6, 6)))) > 0.01


@pytest.mark.parametrize("norm", [1.0, 2.0])
@pytest.mark.parametrize("name", TRIVIALISED)
def test_no_map_of_ours_is_truncated(name: str, norm: float) -> None:
    point = stiefel.get(name)(6, 6, dtype=torch.float64)(of_norm(norm, gaussian(6, 6)))
    assert stiefel.residual_in_eps(point) <= stiefel.get(name).claims.residual


def with_nan(*shape: int) -> Tensor:
    tensor = gaussian(*shape)
    tensor[..., 0, 0] = math.nan
    return tensor


def test_pythons_maximum_still_hides_nan() -> None:
    assert max(1.0, math.nan) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_nan_passes_no_check_of_a_parameterisation(name: str) -> None:
    each = stiefel.get(name)(5, 3, dtype=torch.float64)
    for refuse in (each, each.right_inverse, stiefel.nearest_point):
        with pytest.raises(NonFiniteError, match="got 1 NaN or infinite entries of 15"):
            refuse(with_nan(5, 3))


@pytest.mark.parametrize("name", NAMES)
def test_an_assigned_nan_is_refused_and_the_weight_stays(name: str) -> None:
    layer = square(name, 3)
    with pytest.raises(NonFiniteError):
        layer.weight = with_nan(3, 3)
    assert torch.equal(layer.weight, torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3)], ids=str)
def test_the_residual_of_nan_meets_no_bound(shape: tuple[int, ...]) -> None:
    assert not stiefel.residual_in_eps(with_nan(*shape)) <= math.inf


class NaNCayley(stiefel.get("cayley")):
    """Cayley whose first entry is NaN."""

    def point(self, free: Tensor) -> Tensor:
        point = super().point(free)
        return point + torch.full_like(point, math.nan).triu(1 - point.shape[-1])


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("law", VALUE_LAWS, ids=lambda law: law.name)
def test_no_law_holds_for_a_map_that_gives_nan(law: Law) -> None:
    assert judge(law, NaNCayley, examples=5, shrink=False).verdict != "holds"

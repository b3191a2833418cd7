"""How far a computed point is from its map's exact value: the balls and the residual theorem against each other."""

import pytest
import torch
from torch import Tensor

import stiefel
from proofs.balls import _MAPS, LARGEST, ball_distance
from proofs.oracles import ORACLES
from stiefel import Parameterisation
from stiefel.distances import map_distance

EPS = torch.finfo(torch.float64).eps
POINTS = [name for name in stiefel.names() if stiefel.get(name).claims.optimiser == "riemannian"]


def placed(name: str, *shape: int, dtype: torch.dtype = torch.float64) -> tuple[Parameterisation, Tensor]:
    """Return a map at a drawn base, and a free tensor of spectral norm 2."""
    generator = torch.Generator().manual_seed(5)
    by = stiefel.get(name)(*shape, dtype=dtype)
    free = by.right_inverse(stiefel.random_point(*shape, generator=generator, dtype=dtype))
    step = torch.randn(*shape, generator=generator, dtype=dtype)
    return by, free + (step / torch.linalg.matrix_norm(step, ord=2, keepdim=True) * 2 if name not in POINTS else 0)


def shifted(point: Tensor, by: float) -> Tensor:
    moved = point.clone()
    moved[..., 0, 0] += by
    return moved


@pytest.mark.parametrize("shape", [(9, 4), (5, 5), (6, 1)])
@pytest.mark.parametrize("name", _MAPS)
def test_balls_hold_what_an_independent_oracle_computes(name: str, shape: tuple[int, int]) -> None:
    by, free = placed(name, *shape)
    found = ball_distance(by, free, ORACLES[name](by, free))
    # The oracles round to c·n·eps, c about 30 for the eigendecompositions.
    assert found is not None
    assert found <= 100 * shape[0] * EPS


@pytest.mark.parametrize("name", _MAPS)
def test_a_point_that_is_off_is_told_by_how_much(name: str) -> None:
    by, free = placed(name, 9, 4)
    found = ball_distance(by, free, shifted(by(free), 1e-6))
    assert found == pytest.approx(1e-6, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(9, 4), (30, 3), (5, 5), (2, 8, 3)])
def test_the_residual_of_cayley_bounds_the_distance_that_balls_give(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    by, free = placed("cayley", *shape, dtype=dtype)
    for point in (by(free), shifted(by(free), 1e-3)):
        residual, distance = map_distance(by, free, point), ball_distance(by, free, point)
        assert residual is not None
        assert distance is not None
        # (I − W/2)⁻¹ shrinks by √(1 + ‖W‖²/4) <= √2 here, so the residual is at most that much larger.
        slack = 0 if dtype == torch.float32 else 1e-11
        assert distance <= residual <= 1.5 * distance + slack


@pytest.mark.parametrize("name", POINTS)
def test_a_point_is_the_exact_value_of_its_own_parameter(name: str) -> None:
    by, free = placed(name, 6, 2)
    assert map_distance(by, free, by(free)) == 0
    assert map_distance(by, free, shifted(by(free), 0.5)) == pytest.approx(0.5)


@pytest.mark.parametrize("name", [name for name in stiefel.names() if name not in ("cayley", *POINTS)])
def test_a_map_without_a_known_bound_has_none(name: str) -> None:
    by, free = placed(name, 6, 2)
    assert map_distance(by, free, by(free)) is None


def test_beyond_their_size_balls_give_what_the_residual_does() -> None:
    by, free = placed("cayley", LARGEST + 1, 2, dtype=torch.float32)
    assert ball_distance(by, free, by(free)) == map_distance(by, free, by(free))
    by, free = placed("exponential", LARGEST + 1, 2)
    assert ball_distance(by, free, by(free)) is None


def test_a_complex_map_has_no_bound() -> None:
    by = stiefel.get("cayley")(4, 2, dtype=torch.complex64)
    free = torch.zeros(4, 2, dtype=torch.complex64)
    assert map_distance(by, free, by(free)) is None
    assert ball_distance(by, free, by(free)) is None


def test_balls_that_hold_everything_are_no_bound() -> None:
    by, free = placed("exponential", 6, 3)
    assert ball_distance(by, free * 1e100, by(free)) is None

"""How far a computed point is from its map's exact value: the balls and the residual theorem against each other."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import stiefel
from proofs.balls import _MAPS, LARGEST, ball_distance
from proofs.laws.setting import place
from proofs.oracles import ORACLES
from proofs.strategies import cases
from stiefel import Parameterisation
from stiefel.distances import map_distance

EPS = torch.finfo(torch.float64).eps
COMPLEX = [name for name in stiefel.names() if stiefel.get(name).claims.field == "complex"]
POINTS = [name for name in stiefel.names() if stiefel.get(name).claims.optimiser == "riemannian"]
BOUNDED = ["cayley", "householder", *POINTS]


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BOUNDED)
@given(data=st.data())
def test_no_distance_exceeds_its_bound(name: str, dtype: torch.dtype, data: st.DataObject) -> None:
    case = data.draw(cases(stiefel.get(name).claims, largest=24, dtypes=(dtype,)))
    setting = place(stiefel.get(name), case)
    point = setting.map(setting.free)
    bound, distance = map_distance(setting.map, setting.free, point), ball_distance(setting.map, setting.free, point)
    assert bound is not None
    assert distance is not None
    assert distance <= bound


@pytest.mark.parametrize("norm", [1e-3, 3.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_bound_of_reflectors_is_tight_in_float32_and_has_no_condition_number(
    norm: float, dtype: torch.dtype
) -> None:
    by, free = placed("householder", 40, 12, dtype=dtype)
    free = norm * free / torch.linalg.matrix_norm(free, ord=2)
    for point in (by(free), shifted(by(free), 1e-3)):
        bound, distance = map_distance(by, free, point), ball_distance(by, free, point)
        assert bound is not None
        assert distance is not None
        # 12 reflectors of 40 rows round 4·40·u·√12 each, 1e-12 in all.
        assert distance <= bound <= 1.0001 * distance + 1e-12


def test_reflectors_whose_squares_overflow_have_no_bound() -> None:
    by, free = placed("householder", 6, 3)
    assert map_distance(by, free * 1e300, by(free)) is None


@pytest.mark.parametrize("name", [name for name in stiefel.names() if name not in BOUNDED])
def test_a_map_without_a_known_bound_has_none(name: str) -> None:
    by, free = placed(name, 6, 2)
    assert map_distance(by, free, by(free)) is None


def test_beyond_their_size_balls_give_what_the_residual_does() -> None:
    by, free = placed("cayley", LARGEST + 1, 2, dtype=torch.float32)
    assert ball_distance(by, free, by(free)) == map_distance(by, free, by(free))
    by, free = placed("exponential", LARGEST + 1, 2)
    assert ball_distance(by, free, by(free)) is None


def complex_placed(name: str, *shape: int, dtype: torch.dtype) -> tuple[Parameterisation, Tensor]:
    by, generator = stiefel.get(name)(*shape, dtype=dtype), torch.Generator().manual_seed(6)
    free = by.right_inverse(stiefel.random_point(*shape, generator=generator, dtype=dtype))
    step = torch.randn(*shape, generator=generator, dtype=dtype)
    return by, free + step / torch.linalg.matrix_norm(step, ord=2, keepdim=True)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("shape", [(9, 4), (3, 3), (2, 5, 1)])
@pytest.mark.parametrize("name", [name for name in COMPLEX if name != "qr"])
def test_a_complex_map_has_the_balls_of_its_real_twin(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    by, free = complex_placed(name, *shape, dtype=dtype)
    found = ball_distance(by, free, by(free))
    assert found is not None
    assert 0 < found <= by.claims.residual * shape[-2] * torch.finfo(dtype).eps
    far = ball_distance(by, free, shifted(by(free), 1e-1))
    # Bounds are rounded upwards by 2⁻⁴⁵ of themselves.
    assert far == pytest.approx(0.1, abs=2 * found + 1e-14)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("shape", [(9, 4), (3, 3), (2, 5, 1)])
def test_the_residual_of_a_complex_cayley_bounds_the_distance(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    by, free = complex_placed("cayley", *shape, dtype=dtype)
    for point in (by(free), shifted(by(free), 1e-3)):
        residual, distance = map_distance(by, free, point), ball_distance(by, free, point)
        assert residual is not None
        assert distance is not None
        # As of the real one: ‖W‖₂ <= 2, and the roundings of float64.
        assert distance <= residual <= 1.5 * distance + (0 if dtype == torch.complex64 else 1e-11)


def test_a_complex_triangular_factor_has_no_bound() -> None:
    by, free = complex_placed("qr", 5, 3, dtype=torch.complex128)
    assert ball_distance(by, free, by(free)) is None


def test_balls_that_hold_everything_are_no_bound() -> None:
    by, free = placed("exponential", 6, 3)
    assert ball_distance(by, free * 1e100, by(free)) is None

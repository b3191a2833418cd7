"""Rigorous bounds: no case of any kind exceeds them in exact arithmetic, and they are tight where it matters."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

import stiefel
from proofs.exact import enclose_exactly, exact_defect
from stiefel.bounds import Bounds, Enclose, Enclosure, OutOfRangeError, defect_bounds, enclose_defect, slice_bits
from stiefel.errors import NonFiniteError

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
ENCLOSURES = (enclose_defect, enclose_exactly)


def gaussian(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthonormal(rows: int, columns: int, seed: int) -> Tensor:
    return stiefel.nearest_point(gaussian(rows, columns, seed))


def rows_graded(rows: int, columns: int, seed: int) -> Tensor:
    return orthonormal(rows, columns, seed) * torch.logspace(0, -300, rows, dtype=torch.float64).unsqueeze(-1)


def columns_graded(rows: int, columns: int, seed: int) -> Tensor:
    return orthonormal(rows, columns, seed) * torch.logspace(50, -320, columns, dtype=torch.float64)


def rank_deficient(rows: int, columns: int, seed: int) -> Tensor:
    return gaussian(rows, 1, seed) @ gaussian(1, columns, seed + 1)


def nearly_identity(rows: int, columns: int, seed: int) -> Tensor:
    return torch.eye(rows, columns, dtype=torch.float64) + 2.0 ** -float(3 * (seed % 350)) * gaussian(
        rows, columns, seed
    )


def spread(rows: int, columns: int, seed: int) -> Tensor:
    return gaussian(rows, columns, seed) * 10 ** (100 * gaussian(rows, columns, seed + 1).clamp(-3.3, 0.5))


def powers_of_two(rows: int, columns: int, seed: int) -> Tensor:
    exponents = 5 * gaussian(rows, columns, seed) - 600 * gaussian(1, columns, seed + 1).abs()
    return 2 ** exponents.round().clamp(-1074, 190)


STRUCTURES: dict[str, Callable[[int, int, int], Tensor]] = {
    "orthonormal": orthonormal,
    "dense": gaussian,
    "rows graded to 1e-300": rows_graded,
    "columns graded into the subnormal": columns_graded,
    "rank deficient": rank_deficient,
    "nearly the identity": nearly_identity,
    "entries of every size": spread,
    "powers of two": powers_of_two,
    "zero": lambda rows, columns, seed: torch.zeros(rows, columns, dtype=torch.float64),
    "subnormal": lambda rows, columns, seed: 1e-315 * gaussian(rows, columns, seed),
    "tiny": lambda rows, columns, seed: 1e-30 * gaussian(rows, columns, seed),
    "huge": lambda rows, columns, seed: 1e58 * gaussian(rows, columns, seed),
    "integers": lambda rows, columns, seed: gaussian(rows, columns, seed).mul(2.0**60).round(),
}


@dataclass(frozen=True)
class Case:
    """What is drawn; the matrix follows from it, as entries drawn one by one shrink badly."""

    structure: str
    rows: int
    columns: int
    dtype: torch.dtype
    seed: int

    def matrix(self) -> Tensor:
        largest = torch.finfo(self.dtype).max
        drawn = STRUCTURES[self.structure](self.rows, min(self.rows, self.columns), self.seed)
        return drawn.clamp(-largest, largest).to(self.dtype)


CASES = st.builds(
    Case,
    structure=st.sampled_from(sorted(STRUCTURES)),
    rows=st.integers(1, 64),
    columns=st.integers(1, 12),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**20),
)


def exact(matrix: Tensor) -> list[list[Fraction]]:
    defect, shift = exact_defect(matrix.double().numpy())
    return [[Fraction(value, 1 << shift) for value in row] for row in defect]


def squares(defect: list[list[Fraction]]) -> Fraction:
    return sum((value * value for row in defect for value in row), Fraction(0))


def stretch(defect: list[list[Fraction]]) -> Fraction:
    """Return (‖Ev‖ / ‖v‖)² exactly, v about the leading eigenvector: at most ‖E‖₂², and near it."""
    largest = max(abs(value) for row in defect for value in row) or Fraction(1)
    _, vectors = np.linalg.eigh(np.array([[float(value / largest) for value in row] for row in defect]))
    best = Fraction(0)
    for column in (0, -1):
        vector = [Fraction(float(value)) for value in vectors[:, column]]
        image = [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in defect]
        best = max(best, sum(value * value for value in image) / sum(value * value for value in vector))
    return best


def holds(bounds: Bounds, defect: list[list[Fraction]]) -> bool:
    return (
        Fraction(bounds.frobenius) ** 2 >= squares(defect)
        and Fraction(bounds.spectral) ** 2 >= stretch(defect)
        and Fraction(bounds.one) >= max(sum(map(abs, row)) for row in defect)
        and Fraction(bounds.entry) >= max(abs(value) for row in defect for value in row)
    )


@pytest.mark.parametrize("enclose", ENCLOSURES)
@given(case=CASES)
def test_no_matrix_exceeds_its_bounds_in_exact_arithmetic(enclose: Enclose, case: Case) -> None:
    matrix = case.matrix()
    assert holds(defect_bounds(matrix, enclose=enclose), exact(matrix))


@pytest.mark.parametrize("enclose", ENCLOSURES)
@example(case=Case("powers of two", 8, 12, torch.float64, 1))
@given(case=CASES)
def test_every_entry_is_within_its_radius(enclose: Enclose, case: Case) -> None:
    matrix = case.matrix()
    found = enclose(matrix.double().numpy())
    for row, centres, radii in zip(exact(matrix), found.centre.tolist(), found.radius.tolist(), strict=True):
        assert all(
            abs(value - Fraction(centre)) <= Fraction(radius)
            for value, centre, radius in zip(row, centres, radii, strict=True)
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (40, 7), (24, 24), (600, 5)])
def test_the_bounds_of_an_orthonormal_matrix_are_tight(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = orthonormal(*shape, seed=3).to(dtype)
    bounds, defect = defect_bounds(matrix), exact(matrix)
    assert holds(bounds, defect)
    assert Fraction(bounds.frobenius) ** 2 <= Fraction("1.01") ** 2 * squares(defect)
    assert Fraction(bounds.spectral) ** 2 <= Fraction("1.01") ** 2 * stretch(defect)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_projector_of_vkd_takes_less_than_two_seconds(dtype: torch.dtype) -> None:
    matrix = orthonormal(3024, 192, seed=0).to(dtype)
    start = time.process_time()
    bounds = defect_bounds(matrix)
    # The processor's own seconds, as the tests share it; 0.2 s on one core.
    assert time.process_time() - start < 2
    centre = enclose_exactly(matrix.double().numpy()).centre
    assert float(np.linalg.norm(centre)) * (1 - 1e-9) <= bounds.frobenius <= 1.01 * float(np.linalg.norm(centre))


@pytest.mark.parametrize("matrix", [torch.eye(5, 3), torch.eye(9)[[4, 0, 8, 2]].T, -torch.eye(1)], ids=str)
def test_an_exactly_orthonormal_matrix_has_the_bound_zero(matrix: Tensor) -> None:
    assert defect_bounds(matrix) == Bounds(0, 0, 0, 0)


@pytest.mark.parametrize("n", [1, 2, 3, 64, 65, 3024, 2**20, 2**29])
def test_a_slice_is_as_wide_as_exact_products_allow(n: int) -> None:
    bits = slice_bits(n)
    assert n * 4**bits <= 2**53 < n * 4 ** (bits + 1) * 2


def without_the_second_slice(matrix: np.ndarray) -> Enclosure:
    scale = 2.0 ** slice_bits(len(matrix))
    return enclose_defect(np.rint(matrix * scale) / scale)


def without_slack(matrix: np.ndarray) -> Enclosure:
    centre = matrix.T @ matrix - np.eye(matrix.shape[1])
    return Enclosure(centre, np.zeros_like(centre))


def without_the_tail(matrix: np.ndarray) -> Enclosure:
    scale = 4.0 ** slice_bits(len(matrix))
    return enclose_defect(np.rint(matrix * scale) / scale)


@pytest.mark.parametrize("mutant", [without_the_second_slice, without_the_tail, without_slack])
def test_a_bound_that_forgets_something_is_refuted(mutant: Enclose) -> None:
    drawn = [STRUCTURES[name](64, 8, seed) for name in ("orthonormal", "nearly the identity") for seed in range(20)]
    assert not all(holds(defect_bounds(matrix, enclose=mutant), exact(matrix)) for matrix in drawn)
    assert all(holds(defect_bounds(matrix), exact(matrix)) for matrix in drawn)


def small_values(values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values * 0.9, vectors


def long_vectors(values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values / 4, vectors * 2


def nothing(values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.full_like(values, np.nan), vectors


def failure(values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    raise np.linalg.LinAlgError("eigenvalues didn't converge")


@pytest.mark.parametrize("mistake", [small_values, long_vectors, nothing, failure])
def test_the_spectral_bound_holds_whatever_the_eigendecomposition_says(
    mistake: Callable[..., tuple[np.ndarray, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    eigh = np.linalg.eigh
    matrix = torch.diag(torch.tensor([1.0, 1.0, 2.0, 1.0]))
    with monkeypatch.context() as patch:
        patch.setattr(np.linalg, "eigh", lambda matrix: mistake(*eigh(matrix)))
        bounds = defect_bounds(matrix)
    assert holds(bounds, exact(matrix))
    assert bounds.spectral <= bounds.frobenius


def test_a_batch_has_the_bounds_of_its_worst_matrices() -> None:
    batch = torch.stack([torch.eye(4, 2), 2 * torch.eye(4, 2), orthonormal(4, 2, seed=1).float()]).reshape(3, 1, 4, 2)
    assert defect_bounds(batch) == defect_bounds(batch[1, 0])


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_complex_matrix_is_bounded_as_tightly(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = stiefel.random_point(20, 6, dtype=torch.complex128, generator=generator).to(dtype)
    bounds = defect_bounds(matrix)
    real = torch.cat([torch.cat([matrix.real, -matrix.imag], -1), torch.cat([matrix.imag, matrix.real], -1)])
    doubled = exact(real)
    true = squares(doubled) / 2
    assert true <= Fraction(bounds.frobenius) ** 2 <= Fraction("1.01") ** 2 * true
    assert stretch(doubled) <= Fraction(bounds.spectral) ** 2
    moduli = [[doubled[i][j] ** 2 + doubled[i + 6][j] ** 2 for j in range(6)] for i in range(6)]
    assert Fraction(bounds.entry) ** 2 >= max(map(max, moduli))
    assert bounds.one >= max(sum(math.sqrt(value) for value in row) for row in moduli) * (1 - 1e-12)


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        (math.nan, NonFiniteError, "1 NaN or infinite entries of 6"),
        (-math.inf, NonFiniteError, "1 NaN or infinite entries of 6"),
        (-(2.0**200), OutOfRangeError, r"below 2\^200 to be certified, got 1.61e\+60"),
    ],
)
def test_what_cannot_be_bounded_is_refused(value: float, error: type[Exception], sentence: str) -> None:
    matrix = torch.zeros(3, 2, dtype=torch.float64)
    matrix[1, 1] = value
    with pytest.raises(error, match=sentence):
        defect_bounds(matrix)

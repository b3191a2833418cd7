"""Flops of what `torch.utils.flop_counter` counts as none: factorisations, products in place, attention on CPUs.

with counter() as counted: step()
counted.get_total_flops()
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry

_aten = torch.ops.aten
Shape = Sequence[int]


def counter() -> FlopCounterMode:
    """Return torch's counter with these formulas added; one multiply-add is 2 flops.

    Leading terms, those of Golub & Van Loan 2013 for the algorithms that LAPACK takes. Iterations (eigh, SVD) are
    their customary averages, good to a factor of about two. Entrywise operations count as none, as in torch.
    """
    return FlopCounterMode(display=False, custom_mapping=FORMULAS)


def qr(n: int, p: int) -> int:
    """Return the flops of Householder QR with its n × p factor formed: 2·(2np² − ⅔p³)."""
    return round(2 * (2 * n * p**2 - 2 / 3 * p**3))


def svd(n: int, p: int) -> int:
    """Return the flops of a thin SVD with both factors: 14np² + 8p³ (Golub & Van Loan 2013, figure 8.6.1)."""
    return 14 * n * p**2 + 8 * p**3


def _of_matrix(formula: Callable[[int, int], float]) -> Callable[..., int]:
    """Return the formula of a batch of matrices, the operator's first argument, given that of n × p, n >= p."""

    def flops(matrix: Shape, *rest: Any, out_shape: Any = None, **named: Any) -> int:
        *batch, rows, columns = matrix
        return round(prod(batch) * formula(max(rows, columns), min(rows, columns)))

    return flops


def _solve(matrix: Shape, columns: Shape, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    p = matrix[-1]
    return round(2 / 3 * p * prod(matrix)) + 2 * p * prod(columns)


def _solve_triangular(matrix: Shape, columns: Shape, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    return matrix[-1] * prod(columns)


def _lu_solve(factors: Shape, pivots: Shape, columns: Shape, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    return 2 * factors[-1] * prod(columns)


def _divide(columns: Shape, factor: Shape, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    return 2 * factor[-1] * prod(columns)


def _product(matrix: Shape, vector: Shape, *rest: Any, out_shape: Any = None, **named: Any) -> int:
    return 2 * prod(matrix)


def _torchs(operator: Any) -> Callable[..., int]:
    return flop_registry[operator].__wrapped__  # of shapes; what is registered takes tensors


# matrix_exp: Paterson-Stockmeyer to degree 8 or 18 (5 products at most), and some 3 squarings on average.
_EXP_PRODUCTS = 8

FORMULAS: dict[Any, Callable[..., int]] = {
    _aten.linalg_qr: _of_matrix(qr),
    _aten.geqrf: _of_matrix(lambda n, p: qr(n, p) / 2),
    _aten.linalg_householder_product: _of_matrix(lambda n, p: qr(n, p) / 2),
    _aten.linalg_cholesky_ex: _of_matrix(lambda p, _: p**3 / 3),
    _aten.cholesky_inverse: _of_matrix(lambda p, _: 2 / 3 * p**3),
    _aten.linalg_lu_factor_ex: _of_matrix(lambda n, p: n * p**2 - p**3 / 3),
    _aten.linalg_lu: _of_matrix(lambda n, p: n * p**2 - p**3 / 3),
    _aten.linalg_inv_ex: _of_matrix(lambda p, _: 2 * p**3),
    _aten._linalg_eigh: _of_matrix(lambda p, _: 9 * p**3),
    _aten._linalg_svd: _of_matrix(svd),
    _aten._linalg_det: _of_matrix(lambda p, _: 2 / 3 * p**3),
    _aten.linalg_matrix_exp: _of_matrix(lambda p, _: _EXP_PRODUCTS * 2 * p**3),
    _aten._linalg_solve_ex: _solve,
    _aten.linalg_solve_triangular: _solve_triangular,
    _aten.cholesky_solve: _divide,
    _aten.linalg_lu_solve: _lu_solve,
    _aten.mv: _product,
    _aten.dot: lambda left, *rest, out_shape=None: 2 * prod(left),
    # Other names for what torch has formulas of.
    _aten.addmm_: _torchs(_aten.addmm),
    _aten.baddbmm_: _torchs(_aten.baddbmm),
    _aten._scaled_dot_product_flash_attention_for_cpu: _torchs(_aten._scaled_dot_product_flash_attention),
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _torchs(
        _aten._scaled_dot_product_flash_attention_backward
    ),
}

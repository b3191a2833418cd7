"""Flops of factorisations are counted by their formulas, batches and backward passes included."""

import pytest
import torch

from distill.budget import flops

N, P, BATCH = 30, 6, 5


def counted(work) -> int:
    with flops.counter() as counter:
        work()
    return counter.get_total_flops()


def tall(*batch: int) -> torch.Tensor:
    return torch.randn(*batch, N, P, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def definite(*batch: int) -> torch.Tensor:
    return tall(*batch).mT @ tall(*batch)


# Leading terms for one matrix; what stands beside them is n × p, or p × p for the square ones.
EXPECTED = {
    "qr": (lambda a, s: torch.linalg.qr(a), 4 * N * P**2 - 4 / 3 * P**3),
    "svd": (lambda a, s: torch.linalg.svd(a, full_matrices=False), 14 * N * P**2 + 8 * P**3),
    "cholesky": (lambda a, s: torch.linalg.cholesky(s), P**3 / 3),
    "eigh": (lambda a, s: torch.linalg.eigh(s), 9 * P**3),
    "inverse": (lambda a, s: torch.linalg.inv(s), 2 * P**3),
    "lu": (lambda a, s: torch.linalg.lu_factor(s), 2 / 3 * P**3),
    "solve": (lambda a, s: torch.linalg.solve(s, a.mT), 2 / 3 * P**3 + 2 * P**2 * N),
    "triangular": (lambda a, s: torch.linalg.solve_triangular(s, a.mT, upper=True), P**2 * N),
    "cholesky_solve": (lambda a, s: torch.cholesky_solve(a.mT, s), 2 * P**2 * N),
    "matrix_exp": (lambda a, s: torch.matrix_exp(s), 16 * P**3),
    "determinant": (lambda a, s: torch.linalg.det(s), 2 / 3 * P**3),
    "product": (lambda a, s: a @ s, 2 * N * P**2),
    "product in place": (lambda a, s: a.clone().baddbmm_(a, s) if a.ndim > 2 else a.clone().addmm_(a, s), 2 * N * P**2),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_operation_costs_its_formula_and_a_batch_as_many_times(name: str) -> None:
    work, expected = EXPECTED[name]
    a, s = tall(), definite()
    # Rounded to whole flops, once for each operator.
    assert counted(lambda: work(a, s)) == pytest.approx(expected, abs=1)
    a, s = tall(BATCH), definite(BATCH)
    assert counted(lambda: work(a, s)) == pytest.approx(BATCH * expected, abs=1)


def test_attention_costs_its_two_products_and_backwards_five() -> None:
    tokens, heads, width = 12, 2, 8
    query, key, value = (torch.randn(BATCH, heads, tokens, width).requires_grad_() for _ in range(3))
    product = 2 * BATCH * heads * tokens**2 * width
    attend = torch.nn.functional.scaled_dot_product_attention
    assert counted(lambda: attend(query, key, value)) == 2 * product
    # The backward pass forms the weights once more, beside the four products of the derivatives.
    assert counted(lambda: attend(query, key, value).sum().backward()) == 7 * product


def test_torchs_own_counter_leaves_them_out() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        torch.linalg.qr(tall())
    assert counter.get_total_flops() == 0


def test_a_backward_pass_is_counted() -> None:
    matrix = definite().requires_grad_()
    forward = counted(lambda: torch.linalg.inv(matrix))
    assert counted(lambda: torch.linalg.inv(matrix).sum().backward()) > forward

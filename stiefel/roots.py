"""The inverse square root of a symmetric matrix, and the Sylvester equation of its derivative.

`inverse_sqrt` is differentiable to any order. `root` and `commutator` are the quick pair for a hand-written adjoint.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Inexact
from torch import Tensor

from stiefel.linalg import add_identity_, add_product, identity_like, is_readable, norm_1, sym

# The products after which an eigendecomposition, which takes the time of 8 (p = 1024) to 100 (p = 16) of them, is the
# better bargain: the commutator that follows takes as many again.
_MOST_PRODUCTS = 13


class Root(NamedTuple):
    """Z = M^{-1/2}, and for `commutator` how it was found: by products (vectors empty) or in an eigenbasis.

    span: b with M <= (1 + b)·I, over the whole batch.
    values: the eigenvalues of M. vectors: its eigenvectors.
    """

    inverse: Tensor
    span: Tensor
    values: Tensor
    vectors: Tensor


def root(matrix: Inexact[Tensor, "*b p p"]) -> Root:
    """Return M^{-1/2} of a symmetric matrix with no eigenvalue below 1, outside autograd.

    By products alone where the spectrum is narrow, which it is near a base: (I + E)^{-1/2} of the centred M by its
    series, after Newton-Schulz steps if those cost less than the series' higher terms. Otherwise by an
    eigendecomposition. The norm is bounded rigorously, ‖D‖₂² <= ‖D²‖₁, and read: a GPU has to wait for it.

    Cost: 3 to 13 products of p × p, 5 where M <= 1.74·I in float32; else an eigendecomposition, about 10p³ flops.
    Error: c·p·eps·κ(M) relative.
    Source: Higham 2008, chapters 4 (Paterson & Stockmeyer's scheme) and 6 (Newton-Schulz).
    """
    eye = identity_like(matrix)
    excess = matrix - eye
    square = excess @ excess
    span = norm_1(square).amax().sqrt()
    plan = _plan(float(span), torch.finfo(matrix.dtype).eps)
    empty = matrix.new_empty(0)
    if plan is None:
        values, vectors = torch.linalg.eigh(matrix)
        return Root((vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mH, span, values, vectors)
    # Centred on the middle of [1, 1 + b]: M = c·(I + E).
    half = float(span) / 2
    centre = 1 + half
    error = torch.sub(excess, eye, alpha=half) / centre
    square = (square.sub_(excess, alpha=2 * half) + half**2 * eye) / centre**2
    steps, blocks = plan
    inverse = None
    for _ in range(steps):
        factor = eye - error / 2
        inverse = factor if inverse is None else inverse @ factor
        error = square @ torch.sub(error / 4, eye, alpha=0.75)
        square = error @ error
    series = _series(error, square, blocks)
    inverse = series if inverse is None else inverse @ series
    return Root(inverse / centre**0.5, span, empty, empty)


def commutator(matrix: Inexact[Tensor, "*b p p"], found: Root, right: Inexact[Tensor, "*b p p"]) -> Tensor:
    """Return ΨH − HΨ for the skew Ψ with ΨH + HΨ = B, where H = M^{1/2}, B is skew and `found` is `root(M)`.

    In the eigenbasis entry by entry, else by Chebyshev's iteration, one product a step: 6 steps near a base.

    Error c·p·eps·‖B‖.
    Source: Golub & Varga 1961 (the iteration).
    """
    if found.vectors.numel():
        roots = found.values.sqrt()
        across, down = roots.unsqueeze(-2), roots.unsqueeze(-1)
        middle = found.vectors.mH @ right @ found.vectors
        return found.vectors @ (middle * (across - down) / (across + down)) @ found.vectors.mH
    largest = math.sqrt(1 + float(found.span))
    centre, delta = (largest + 1) / 2, (largest - 1) / (largest + 1)
    off = torch.sub(sym(matrix @ found.inverse), identity_like(matrix), alpha=centre)
    # With H = c·I + D the equation reads Ψ + T(Ψ) = B/2c, T(Ψ) = (ΨD + DΨ)/2c = skew(ΨD)/c and ‖T‖ <= delta.
    start = right / (2 * centre)
    previous, current = torch.zeros_like(start), start
    weight = 2.0
    for _ in range(_chebyshev_steps(delta, matrix.dtype)):
        weight = 1 / (1 - delta**2 * weight / 4)
        turned = current @ off
        step = torch.lerp(previous, start, weight).sub_(turned - turned.mH, alpha=weight / (2 * centre))
        previous, current = current, step
    return 2 * sym(current @ off)


def _plan(span: float, eps: float) -> tuple[int, int] | None:
    """Return the cheapest (Newton-Schulz steps, blocks of the series) exact to rounding, None if an eigenbasis is.

    A step costs three products, a block of three terms one; finding the span has cost another.
    """
    plans = []
    error = span / (2 + span)
    for steps in range(_MOST_PRODUCTS // 3):
        for blocks in range(2, _MOST_PRODUCTS - 3 * steps):
            # Written so that NaN asks for nothing: it reaches the caller as it is.
            if not abs(_coefficients(3 * blocks)[-1]) * error ** (3 * blocks) > eps / 4:
                plans.append((3 * steps + blocks, steps, blocks))
                break
        error = 0.75 * error**2 + 0.25 * error**3
    return min(plans)[1:] if plans else None


@cache
def _coefficients(degree: int) -> tuple[float, ...]:
    """Return the coefficients of (1 + x)^{-1/2} up to `degree`."""
    coefficients = [1.0]
    for k in range(1, degree + 1):
        coefficients.append(coefficients[-1] * (1 / (2 * k) - 1))
    return tuple(coefficients)


def _series(error: Tensor, square: Tensor, blocks: int) -> Tensor:
    """Return (I + E)^{-1/2} to degree 3·blocks − 1, given E and E²: as many products as blocks."""
    coefficients = _coefficients(3 * blocks - 1)
    cube = square @ error
    result: Tensor | None = None
    for first in range(3 * blocks - 3, -1, -3):
        block = torch.mul(error, coefficients[first + 1]).add_(square, alpha=coefficients[first + 2])
        add_identity_(block, coefficients[first])
        result = block if result is None else add_product(block, cube, result)
    assert result is not None
    return result


def _chebyshev_steps(delta: float, dtype: torch.dtype) -> int:
    """Return k with 2·rᵏ <= eps, r = δ/(1 + √(1 − δ²)) the rate of Chebyshev's iteration on [−δ, δ]."""
    rate = delta / (1 + math.sqrt(1 - delta**2))
    # NaN takes no steps: what it stands for is NaN already, and is found where the loss is.
    return math.ceil(math.log(torch.finfo(dtype).eps / 2) / math.log(rate)) if rate > 0 else 0


def inverse_sqrt(matrix: Inexact[Tensor, "*b p p"]) -> Inexact[Tensor, "*b p p"]:
    """Return M^{-1/2} of a symmetric positive definite matrix.

    Its derivative solves a Sylvester equation in the eigenbasis found here, so equal eigenvalues (the identity
    is where training starts) are as good as any others; autograd through `eigh` or `svd` gives NaN there.
    Inside torch.func and torch.compile derivatives are right up to the fourth, outside to any order.

    Cost: one symmetric eigendecomposition, about 10p³ flops forward; 8p³ backward.
    Error: c·p·eps·κ(M) relative.
    """
    values, vectors = torch.linalg.eigh(matrix.detach())
    if is_readable(matrix):
        return _InverseSqrt.apply(matrix, values, vectors)
    return _inverse_sqrt_by_chords(matrix, values, vectors)


def _inverse_sqrt_by_chords(matrix: Tensor, values: Tensor, vectors: Tensor) -> Tensor:
    """Return the same in plain operations, which every transform of torch.func differentiates.

    A `jvp` of an autograd function is treated as a constant by an outer derivative in torch 2.13: wrong without a
    word. Instead, Newton's chord method on Z·M·Z = I starts at the solution with the solution's own slope, as
    constants. It moves nothing but rounding, and its k-th step makes the k-th derivative right.
    """
    eye, sums = identity_like(matrix), values.sqrt().unsqueeze(-1) + values.sqrt().unsqueeze(-2)
    root = (vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mH
    for _ in range(4):
        residual = vectors.mH @ (root @ matrix @ root - eye) @ vectors
        root = root - vectors @ (residual / sums) @ vectors.mH
    return root


class _InverseSqrt(torch.autograd.Function):
    """Z = M^{-1/2}. From Z² = M⁻¹: Z·dZ + dZ·Z = −Z²·dM·Z², whose adjoint is dM = −Z²·X·Z² with Z X + X Z = G."""

    @staticmethod
    def forward(matrix: Tensor, values: Tensor, vectors: Tensor) -> Tensor:
        return (vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mH

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, values, vectors = inputs
        ctx.save_for_backward(output, values, vectors)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        root, values, vectors = ctx.saved_tensors
        inverse = root @ root
        return -inverse @ _Sylvester.apply(root, sym(grad), values.rsqrt(), vectors) @ inverse, None, None


class _Sylvester(torch.autograd.Function):
    """X with Z X + X Z = G, symmetric Z given with its eigenvalues and eigenvectors."""

    @staticmethod
    def forward(root: Tensor, right: Tensor, values: Tensor, vectors: Tensor) -> Tensor:
        middle = vectors.mH @ right @ vectors
        return vectors @ (middle / (values.unsqueeze(-1) + values.unsqueeze(-2))) @ vectors.mH

    @staticmethod
    def setup_context(ctx, inputs, output):
        root, _, values, vectors = inputs
        ctx.save_for_backward(root, values, vectors, output)

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        root, values, vectors, solution = ctx.saved_tensors
        right = _Sylvester.apply(root, grad, values, vectors)
        # dZ·X + X·dZ + Z·dX + dX·Z = dG, so the adjoint of dZ is −(R·Xᵀ + Xᵀ·R), R the adjoint of dG.
        return -(right @ solution.mH + solution.mH @ right), right, None, None

"""Logarithm, distance, geodesics, transports and means of St(n, p) in the canonical metric tr(Uᵀ(I − ½XXᵀ)V)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from stiefel.errors import DTypeError, NotConvergedError, ShapeError
from stiefel.linalg import identity_like, matrix_exp, norm_1, skew
from stiefel.manifold import check, exp, nearest_point, tangent_projection

# Measured: 9 iterations at distance 1.5, 30 at 2.5 and 116 at 2.79, just inside the radius.
_ITERATIONS = 300
_CLOSER = (
    "bring the two closer, both on the manifold: below 0.89π there is one shortest geodesic (det XᵀY > 0 if n = p)"
)


def log(point: Float[Tensor, "*b n p"], target: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
    """Return the tangent U at X of the canonical geodesic that reaches the target at time 1: exp(X, U) = target.

    It is the shortest if its length is below 0.89π; a longer one is a geodesic to the target, perhaps not the
    shortest. Computed in float64 and rounded once; error c·n·eps times the condition of exp, 1.2 at length 1 and 25
    at 2.7, if both points have residual <= n·eps. Not differentiable; `distance` is.

    Cost: a QR of n × 2p and 10np² flops; then a complex eigendecomposition of size 2p per iteration, of which
        random tangents of length 1 take 4 to 9 and of length 2.79 up to 116.
    Raises: ShapeError, DTypeError, NonFiniteError; NotConvergedError where no geodesic was found (the target is
        too far, or in the other component of n = p), or where one of its angles is π to half of the dtype's
        digits. One such pair stops its batch.
    Source: Zimmermann & Hüper 2022 (Zimmermann 2017 with a Sylvester step); the bound 0.89π is
        Rentmeesters 2013.
    """
    found = _connect(point, target)
    return (found.frame @ found.velocity).to(point.dtype)


def distance(point: Float[Tensor, "*b n p"], target: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b"]:
    """Return the canonical length of `log(point, target)`; absolute error c·n·eps at any distance.

    Differentiable once in both points, at 2np² flops each; at distance 0 to a subgradient, norm <= 1.

    Raises: as `log`.
    Source: the first variation of arc length (do Carmo 1992, chapter 9): minus the unit velocity at either end.
    """
    return _Distance.apply(point, target)


class _Distance(torch.autograd.Function):
    @staticmethod
    def forward(ctx, point: Tensor, target: Tensor) -> Tensor:
        found = _connect(point, target)
        p = point.shape[-1]
        inside, across = found.velocity.split([p, found.velocity.shape[-2] - p], -2)
        length = ((inside**2).sum((-2, -1)) / 2 + (across**2).sum((-2, -1))).sqrt()
        # The floor is where squares underflow: below it the gradient falls to 0.
        unit = length.clamp_min(torch.finfo(length.dtype).tiny ** 0.5)[..., None, None]
        # I − ½XXᵀ turns a Riemannian gradient into a Euclidean one. W·exp(W)[:, :p] is the velocity on arrival.
        departure = torch.cat([inside / 2, across], -2) / unit
        arrival = found.generator @ found.columns / unit
        arrival = arrival - found.columns @ (found.columns.mH @ arrival) / 2
        gradients = (-found.frame @ departure, found.frame @ arrival)
        ctx.save_for_backward(*(gradient.to(point.dtype) for gradient in gradients))
        return length.to(point.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        return tuple(grad[..., None, None] * gradient for gradient in ctx.saved_tensors)


def canonical_inner(
    point: Float[Tensor, "*b n p"], one: Float[Tensor, "*b n p"], other: Float[Tensor, "*b n p"]
) -> Float[Tensor, "*b"]:
    """Return tr(Uᵀ(I − ½XXᵀ)V), the canonical inner product of two tangents at X. Cost 4np² flops.

    Source: Edelman, Arias & Smith 1998, equation 2.39.
    """
    inside = (point.mH @ one) * (point.mH @ other)
    return (one * other).sum((-2, -1)) - inside.sum((-2, -1)) / 2


def geodesic(
    point: Float[Tensor, "*b n p"], target: Float[Tensor, "*b n p"], times: Float[Tensor, " t"]
) -> Float[Tensor, "t *b n p"]:
    """Return the points at `times` of the geodesic of `log`: 0 is `point`, 1 is `target`. Differentiable in `times`.

    Cost: one `log` and t times `exp`. Raises: as `log`.
    """
    start, velocity = point.detach(), log(point, target)
    steps = times.to(velocity).reshape(-1, *(1 for _ in point.shape)) * velocity
    return exp(start.expand_as(steps), steps)


def transport(tangent: Float[Tensor, "*b n p"], new_point: Float[Tensor, "*b n p"]) -> Float[Tensor, "*b n p"]:
    """Return the tangent at `new_point` nearest to `tangent`, a tangent elsewhere; it never grows. Cost 4np² flops.

    Source: Absil, Mahony & Sepulchre 2008, section 8.1.3.
    """
    return tangent_projection(new_point, tangent)


def transport_along(
    point: Float[Tensor, "*b n p"], direction: Float[Tensor, "*b n p"], tangent: Float[Tensor, "*b n p"]
) -> Float[Tensor, "*b n p"]:
    """Return d/ds exp(X, U + sV) at s = 0, a tangent at exp(X, U): how V at X moves the end of the geodesic of U.

    Cost: three times `exp`. Error c·n·eps while √p·‖U‖₂ <= 19.
    Source: Absil, Mahony & Sepulchre 2008, section 8.1.2.
    """
    return torch.func.jvp(lambda velocity: exp(point, velocity), (direction,), (tangent,))[1]


class Mean(NamedTuple):
    """A Fréchet mean and the canonical norm of the mean logarithm there (the residual gradient), one per batch."""

    point: Tensor
    residual: Tensor


def frechet_mean(points: Float[Tensor, "k *b n p"], *, iterations: int = 100, tolerance: float | None = None) -> Mean:
    """Return the point whose squared canonical distances to the k points have the least sum, and its residual.

    Karcher's iteration from the polar factor of the arithmetic mean, in float64, rounded once. It ends where the
    mean logarithm has canonical norm <= `tolerance`, 30·n·eps of the dtype by default; that point is the mean if
    the points lie in a ball of radius 0.44π. Not differentiable.

    Cost: per iteration k times `log` and one `exp`.
    Raises: as `log`; NotConvergedError after `iterations` steps.
    Source: Karcher 1977.
    """
    check("points", points)
    if points.ndim < 3 or len(points) == 0:
        raise ShapeError("points", "(k, *batch, n, p) with k >= 1", points.shape, cure="stack the points to average")
    limit = 30 * points.shape[-2] * torch.finfo(points.dtype).eps if tolerance is None else tolerance
    samples = nearest_point(points.double())
    mean = nearest_point(samples.mean(0))
    residual = torch.full(points.shape[1:-2], torch.inf, dtype=torch.float64, device=points.device)
    for _ in range(iterations):
        step = log(mean.expand_as(samples), samples).mean(0)
        residual = canonical_inner(mean, step, step).sqrt()
        if bool((residual <= limit).all()):
            return Mean(mean.to(points.dtype), residual.to(points.dtype))
        mean = nearest_point(exp(mean, step))
    cure = "bring the points closer, allow more iterations or a larger tolerance"
    raise NotConvergedError("Fréchet mean", float(residual.max()), limit, iterations, cure=cure)


class _Connection(NamedTuple):
    """The geodesic frame·exp(t·W)[:, :p], in an orthonormal frame of X and its target: n × m, m = min(2p, n).

    generator: W, m × m and skew; its lower right block is 0. velocity: W's first p columns.
    columns: exp(W)'s first p columns, the target's coordinates.
    """

    frame: Tensor
    columns: Tensor
    velocity: Tensor
    generator: Tensor


def _connect(point: Tensor, target: Tensor) -> _Connection:
    check("point", point)
    check("target", target)
    if target.shape != point.shape:
        raise ShapeError("target", f"{tuple(point.shape)} like the point", target.shape, cure="give each point one")
    if target.dtype != point.dtype:
        raise DTypeError("target", f"{point.dtype} like the point", target.dtype)
    p = point.shape[-1]
    start, end = point.detach().double(), target.detach().double()
    inner = start.mH @ end
    # A QR of both keeps the new columns orthogonal to X even where the normal part is rounding or zero, and stops
    # at n columns where 2p > n.
    normal = torch.linalg.qr(torch.cat([start, end - start @ inner], -1))[0][..., p:]
    columns = torch.cat([inner, normal.mH @ end], -2)
    generator = _generator(columns, torch.finfo(point.dtype).eps)
    return _Connection(torch.cat([start, normal], -1), columns, generator[..., :p], generator)


def _generator(columns: Tensor, eps: float) -> Tensor:
    """Return the skew W whose lower right block C is 0 and whose exponential has these first columns.

    The other columns of the rotation exp(W) are free: each step turns them among themselves so that C shrinks.
    `eps` is the precision of what the columns were computed from.
    """
    m, p = columns.shape[-2:]
    # Rounding leaves ‖C‖ <= 1.4·m·eps (the worst measured, up to distance 2); seven times that is always reached.
    limit = 10 * m * torch.finfo(columns.dtype).eps
    rotation, left = _complete(columns), torch.inf
    for step in range(_ITERATIONS):
        generator, angles = _rotation_log(rotation)
        corner = generator[..., p:, p:]
        left = float(torch.linalg.vector_norm(corner, dim=(-2, -1)).max())
        if left <= limit:
            # A reflection (n = p) or an angle of π has no logarithm here: what _rotation_log made of it misses the
            # columns by O(1), or has its plane from rounding. Half of the digits tell both from an error eps/(π − θ).
            miss = norm_1(matrix_exp(generator, columns=p) - columns)
            gap = (torch.pi - angles.amax(-1)).clamp_min(eps)
            error = float(torch.maximum(miss, eps / gap).max())
            if error > eps**0.5:
                raise NotConvergedError("Stiefel logarithm", error, eps**0.5, step, cure=_CLOSER)
            return generator
        turn = matrix_exp(_turn(generator[..., p:, :p], corner))
        rotation = torch.cat([columns, rotation[..., p:] @ turn], -1)
    raise NotConvergedError("Stiefel logarithm", left, limit, _ITERATIONS, cure=_CLOSER)


def _complete(columns: Tensor) -> Tensor:
    """Return a rotation with these first columns whose lower right block is symmetric, and nearest to I so."""
    m, p = columns.shape[-2:]
    if m == p:
        return columns
    others = torch.linalg.qr(columns, mode="complete")[0][..., p:]
    left, _, right = torch.linalg.svd(others[..., p:, :])
    # The determinant must be 1: the sign of the least singular value is the cheapest to give up.
    determinant = torch.linalg.det(torch.cat([columns, others @ (left @ right).mH], -1))
    signs = torch.ones_like(left[..., 0])
    signs[..., -1] = determinant.sign()
    turn = right.mH @ (signs.unsqueeze(-1) * left.mH)
    return torch.cat([columns, others @ turn], -1)


def _turn(across: Tensor, corner: Tensor) -> Tensor:
    """Return Γ with C = SΓ + ΓS, S = BBᵀ/12 − I/2: right to third order in B, where −C is right to first."""
    values, vectors = torch.linalg.eigh(across @ across.mH / 12)
    # The sums rise from −1 through 0, at ‖B‖ = √6; kept below −0.2, a step is 5C at most. The bound doesn't bite
    # where the iteration converges; −0.5 does, and takes 169 iterations where −0.2 takes 116.
    sums = (values.unsqueeze(-1) + values.unsqueeze(-2) - 1).clamp_max(-0.2)
    return skew(vectors @ ((vectors.mH @ corner @ vectors) / sums) @ vectors.mH)


def _rotation_log(rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Return the principal logarithm of a rotation, exactly skew, and its angles in (−π, π); wrong for −1.

    Through Cayley's transform, the skew matrix with the eigenvalues i·tan(θ/2). The eigenvectors of the Hermitian i
    times it are orthonormal however its eigenvalues cluster (those of the rotation itself, found by `eig`, are not:
    near I all cluster), and tan(θ/2) tells −θ from θ and grows to π, where the cos θ of the symmetric part tells
    neither and loses eps/(π − θ)². The error is c·m·eps/(π − θ), the condition of the logarithm.
    """
    eye = identity_like(rotation)
    cayley = torch.linalg.solve_ex(rotation + eye, rotation - eye)[0]
    # An angle of exactly π divides by 0; eigh would stop at the infinity before the caller can say what is wrong.
    tangents, vectors = torch.linalg.eigh(1j * skew(cayley.nan_to_num(0.0, 0.0, 0.0)))
    angles = 2 * tangents.atan()
    return skew(((vectors * (-1j * angles).unsqueeze(-2)) @ vectors.mH).real), angles

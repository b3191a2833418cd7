"""Batched linear algebra that the maps share: no manifold words in here.

Everything is differentiable any number of times and works on `(*batch, …)` tensors of float32 or float64, or their
complex twins: Mᵀ is then the conjugate transpose, in every name and formula.
"""

import math

import torch
from jaxtyping import Inexact, Int
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

SINGLE = (torch.float32, torch.complex64)

# Where Python can't look at the norm (torch.compile, vmap), this many squarings: right to ‖M‖₂ of about 25.
_BLIND_SQUARINGS = 6
# Below this size LAPACK's own inverse is as quick as one by blocks.
_LEAF = 96


def widen(tensor: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
    """Return the tensor in float64, or complex128 if it is complex."""
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def sym(matrix: Inexact[Tensor, "*b p p"]) -> Inexact[Tensor, "*b p p"]:
    """Return the symmetric part ½(M + Mᵀ); the Hermitian one of a complex matrix."""
    return (matrix + matrix.mH) / 2


def skew(matrix: Inexact[Tensor, "*b p p"]) -> Inexact[Tensor, "*b p p"]:
    """Return the skew-symmetric part ½(M − Mᵀ); the skew-Hermitian one of a complex matrix."""
    return (matrix - matrix.mH) / 2


def identity_like(matrix: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "p p"]:
    """Return the identity of the last dimension's size, in the dtype and on the device of `matrix`."""
    return torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


def add_identity_(matrix: Inexact[Tensor, "*b p p"], scale: float = 1.0) -> Inexact[Tensor, "*b p p"]:
    """Add scale·I to the matrix in place and return it."""
    matrix.diagonal(dim1=-2, dim2=-1).add_(scale)
    return matrix


def leading_identity(matrix: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "n p"]:
    """Return the first p columns of the n × n identity, in the dtype and on the device of `matrix`."""
    return torch.eye(*matrix.shape[-2:], dtype=matrix.dtype, device=matrix.device)


def add_product(
    total: Inexact[Tensor, "*b n q"],
    left: Inexact[Tensor, "*b n p"],
    right: Inexact[Tensor, "*b p q"],
    *,
    scale: float = 1,
) -> Inexact[Tensor, "*b n q"]:
    """Return scale·total + left·right in one pass over the result."""
    if total.ndim == 2:
        return torch.addmm(total, left, right, beta=scale)
    if total.ndim == 3:
        return torch.baddbmm(total, left, right, beta=scale)
    return left @ right + (total if scale == 1 else scale * total)


def add_product_(
    total: Inexact[Tensor, "*b n q"], left: Inexact[Tensor, "*b n p"], right: Inexact[Tensor, "*b p q"]
) -> Inexact[Tensor, "*b n q"]:
    """Add left·right to `total` in place and return it.

    The product accumulates into `total` itself; `torch.addmm` copies it first, which at 3024 × 192 costs as much
    as the product (0.6 ms of 1.3 ms on two CPU cores).
    """
    if total.ndim == 2:
        return total.addmm_(left, right)
    if total.ndim == 3:
        return total.baddbmm_(left, right)
    return total.add_(left @ right)


def is_readable(tensor: Tensor) -> bool:
    """Whether Python may branch on the values of `tensor` (not while torch compiles or vmaps it)."""
    return not (torch.compiler.is_compiling() or is_functorch_wrapped_tensor(tensor))


def can_branch(tensor: Tensor) -> bool:
    """Whether Python may branch on the values of `tensor` for nothing: reading a GPU's would stall it."""
    return tensor.device.type == "cpu" and is_readable(tensor)


def accretive_inverse(matrix: Inexact[Tensor, "*b p p"]) -> Inexact[Tensor, "*b p p"]:
    """Return M⁻¹ of a matrix whose symmetric part is at least I.

    Block elimination without pivoting, which such a matrix doesn't need: the Schur complements are of the same kind.
    Nearly all of it is products: at p = 1024 it takes the time of 1.5 of them, where LAPACK's LU and inverse take 4; at
    p = 192 both take 6.

    Cost 2p³ flops. Error c·p·eps·‖M‖³.
    Source: Mathias 1992 (LU of matrices with a positive definite symmetric part).
    """
    p = matrix.shape[-1]
    if p <= _LEAF:
        return torch.linalg.inv_ex(matrix)[0]
    half = p // 2
    (a, b), (c, d) = (rows.split([half, p - half], -1) for rows in matrix.split([half, p - half], -2))
    corner = accretive_inverse(a)
    lower, right = c @ corner, corner @ b
    schur = accretive_inverse(d - lower @ b)
    left, up = schur @ lower, right @ schur
    result = torch.empty_like(matrix, memory_format=torch.contiguous_format)
    result[..., :half, :half] = add_product(corner, right, left)
    result[..., :half, half:] = -up
    result[..., half:, :half] = -left
    result[..., half:, half:] = schur
    return result


def triangular_inverse(upper: Inexact[Tensor, "*b p p"]) -> Inexact[Tensor, "*b p p"]:
    """Return the inverse of an upper triangular matrix, by blocks and products.

    At p = 1024 it takes a third of the time of LAPACK's triangular solve with p right-hand sides, at p = 192 the same.

    Cost ⅓p³ flops. Error c·p·eps·κ(M).
    """
    p = upper.shape[-1]
    if p <= _LEAF:
        return torch.linalg.solve_triangular(upper, identity_like(upper), upper=True)
    half = p // 2
    first, second = triangular_inverse(upper[..., :half, :half]), triangular_inverse(upper[..., half:, half:])
    result = torch.zeros_like(upper, memory_format=torch.contiguous_format)
    result[..., :half, :half] = first
    result[..., :half, half:] = -first @ upper[..., :half, half:] @ second
    result[..., half:, half:] = second
    return result


def inverse_cholesky(gram: Inexact[Tensor, "*b p p"]) -> tuple[Inexact[Tensor, "*b p p"], Int[Tensor, "*b"]]:
    """Return R⁻¹ with RᵀR = M, R upper triangular, and LAPACK's verdict: 0 where M is positive definite.

    A product with it takes less time than a triangular solve with n right-hand sides. Cost ⅔p³ flops.
    """
    upper, failure = torch.linalg.cholesky_ex(gram, upper=True)
    return triangular_inverse(upper), failure


def norm_1(matrix: Inexact[Tensor, "*b p q"]) -> Inexact[Tensor, "*b"]:
    """Return the largest column sum ‖M‖₁ of each matrix; NaN where a matrix holds one."""
    return matrix.abs().sum(-2).amax(-1)


def matrix_exp(matrix: Inexact[Tensor, "*b m m"], *, columns: int | None = None) -> Inexact[Tensor, "*b m k"]:
    """Return the first `columns` columns of exp(M); all of them by default.

    Differentiates its own scaling-and-squaring chain, twice the cost of the forward pass, where
    `torch.matrix_exp` takes the exponential of a matrix twice the size. It isn't `torch.matrix_exp` for a
    second reason: 2.13 has a wrong degree-8 coefficient for a single matrix of small norm (5e-5 off in float32).

    Cost: (3 + s)·2m³ flops in float32, (6 + s)·2m³ in float64; s squarings, about log2 of ‖M‖₂ over 0.4.
    Error: about 2ˢ·m·eps for a skew matrix, whose powers don't grow.
    Source: Bader, Blanes & Casas 2019 (degree 8 in three products); Paterson & Stockmeyer 1973 (degree 16 in six);
    Al-Mohy & Higham 2009 (the scaling from the norm of a power).
    """
    columns = matrix.shape[-1] if columns is None else columns
    is_single = matrix.dtype in SINGLE
    square = matrix @ matrix
    squarings = _squarings(matrix, square, degree=8 if is_single else 16)
    if squarings:
        matrix, square = matrix * 2.0**-squarings, square * 4.0**-squarings
    power = _taylor_8(matrix, square) if is_single else _taylor_16(matrix, square)
    for _ in range(squarings - 1):
        power = power @ power
    # The last squaring is asked for its first columns alone.
    return power @ power[..., :columns] if squarings else power[..., :columns]


def _squarings(matrix: Tensor, square: Tensor, *, degree: int) -> int:
    """Return the least s for which Taylor's remainder of M/2ˢ is under half a unit roundoff.

    The first term left out is at most ‖M²‖^(m/2)·‖M‖/(m+1)!, m the even degree. For a random skew matrix ‖M²‖₁ is
    nearer to ‖M‖₂² than ‖M‖₁ is to ‖M‖₂ by a factor that grows as the root of the size: two squarings at p = 192.
    """
    if not is_readable(matrix):
        return _BLIND_SQUARINGS
    if matrix.numel() == 0:
        return 0
    norms = norm_1(matrix.detach()) * norm_1(square.detach()) ** (degree // 2)
    limit = torch.finfo(matrix.dtype).eps / 4 * math.factorial(degree + 1)
    ratio = float(norms.amax()) / limit
    # Written so that NaN or an overflow asks for no squaring: it then reaches the caller as it is.
    return math.ceil(math.log2(ratio) / (degree + 1)) if 1 < ratio < math.inf else 0


def _taylor_8(matrix: Tensor, square: Tensor) -> Tensor:
    root = math.sqrt(177)
    x1, x2, x3 = (1 + root) / 132, (1 + root) / 528, 2 / 3
    x4, x5 = (29 * root - 271) / 210, 11 * (root - 1) / 840
    x6, x7, y2 = 11 * (root - 9) / 3360, (89 - root) / 2240, (857 - 58 * root) / 630
    eye = identity_like(matrix)
    fourth = square @ (x1 * matrix + x2 * square)
    eighth = (x3 * square + fourth) @ (x4 * eye + x5 * matrix + x6 * square + x7 * fourth)
    return eye + matrix + y2 * square + eighth


def _taylor_16(matrix: Tensor, square: Tensor) -> Tensor:
    powers = (identity_like(matrix), matrix, square, square @ matrix)
    fourth = square @ square
    result = fourth / math.factorial(16)
    for start in (12, 8, 4, 0):
        block = sum(power / math.factorial(start + k) for k, power in enumerate(powers))
        result = block + (result @ fourth if start < 12 else result)
    return result


def newton_schulz_step(matrix: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
    """Return X(3I − XᵀX)/2: a residual E = XᵀX − I becomes −¾E² + ¼E³, so 1e-7 becomes 1e-14.

    Cost 4np² flops. Needs ‖E‖₂ < 1.
    Source: Björck & Bowie 1971.
    """
    return matrix @ (1.5 * identity_like(matrix) - 0.5 * (matrix.mH @ matrix))

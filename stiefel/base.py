"""The contract of a parameterisation. Read this first.

A parameterisation maps an unconstrained *free* tensor F to a *point* X of St(n, p), both `(*batch, n, p)` with
n >= p. Write a new one by subclassing `Trivialisation` (a map around a base point; `CompactTrivialisation` in
compact.py if two p × p matrices describe it) and adding one line to the registry in
`stiefel/parameterisations/__init__.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Inexact
from torch import Tensor, nn

from stiefel import manifold
from stiefel.errors import DTypeError, NonFiniteError, ShapeError
from stiefel.linalg import can_branch


@dataclass(frozen=True)
class Claims:
    """What a parameterisation promises; `proofs verify` holds it to this.

    summary: one line for the table of `stiefel list`.
    source: the paper or book that states the map.
    residual: ‖XᵀX − I‖₁ <= residual · n·eps for every free tensor in the domain.
    domain: the largest spectral norm of a free tensor for which the claims are made.
    retraction_order: k if R(t·U) leaves the geodesic of `metric` as t^(k+1): 1 or 2, `None` if the map isn't a
        retraction (its derivative at 0 isn't the identity), `inf` if it is the geodesic itself.
    metric: the metric of that geodesic.
    optimiser: "any" torch optimiser keeps the point on the manifold, or it takes a "riemannian" one.
    cost: flops of a forward pass where n >> p.
    field: "complex" if all this is also claimed of complex64 and complex128, where points have X*X = I.
    """

    summary: str
    source: str
    residual: float
    domain: float
    retraction_order: float | None
    metric: manifold.Metric
    optimiser: Literal["any", "riemannian"]
    cost: str
    field: Literal["real", "complex"] = "real"


class Parameterisation(nn.Module, ABC):
    """A map from free tensors to points of St(n, p), usable with `torch.nn.utils.parametrize`.

    `forward` and `right_inverse` check their input and are final; a map implements `point` and `recentre`.
    """

    claims: ClassVar[Claims]

    def __init__(
        self,
        *shape: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        if len(shape) < 2:
            raise ShapeError("parameterisation", "(*batch, n, p)", shape, cure="give at least n and p")
        start = torch.eye(*shape[-2:], dtype=dtype, device=device).expand(*shape).contiguous()
        dtypes = manifold.FIELDS if self.claims.field == "complex" else manifold.FLOATS
        manifold.check_layout("parameterisation", start, dtypes=dtypes)
        self.register_buffer("base", start)
        self.base: Tensor

    @abstractmethod
    def point(self, free: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
        """Return the point of a checked free tensor."""

    @abstractmethod
    def recentre(self, point: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
        """Move the base so that the returned free tensor gives exactly `point`, which is on the manifold."""

    def parameter(self, free: nn.Parameter) -> nn.Parameter:
        """Return the parameter to train: `free` itself, unless the map needs a class of its own."""
        return free

    def forward(self, free: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
        """Return the point of a free tensor: orthonormal columns to `claims.residual` · n·eps.

        Raises: ShapeError, DTypeError; NonFiniteError on CPU in eager mode (reading a GPU's value would stall it).
        """
        if free.dtype != self.base.dtype:
            raise DTypeError("free tensor", f"{self.base.dtype} like its base", free.dtype)
        if free.shape != self.base.shape:
            raise ShapeError("free tensor", str(tuple(self.base.shape)), free.shape, cure="build the map for it")
        if can_branch(free):
            _check_finite(free.detach())
        return self.point(free)

    def right_inverse(self, point: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
        """Return the free tensor of the manifold's point nearest to `point`, moving the base there.

        Raises: ShapeError, DTypeError, NonFiniteError.
        """
        if point.shape != self.base.shape:
            raise ShapeError("point", str(tuple(self.base.shape)), point.shape, cure="build the map for it")
        return self.recentre(manifold.nearest_point(point))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True):
        """Cast or move the module; the base stays in float32 or wider, and is orthonormal to the wider eps."""
        before = self.base
        super()._apply(fn, recurse)
        if self.base.dtype not in manifold.FIELDS:
            # Storage below float32 works in float32, also where the base was wider.
            self.base = before.to(self.base.device, torch.promote_types(self.base.dtype, torch.float32))
        elif torch.finfo(self.base.dtype).eps < torch.finfo(before.dtype).eps:
            self.recentre(manifold.nearest_point(self.point(torch.zeros_like(self.base))))
        return self


class Trivialisation(Parameterisation):
    """A map around a base point X0 (an n × p buffer): free = 0 gives X0, and any torch optimiser trains it."""

    def recentre(self, point: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
        self.base.copy_(point)
        return torch.zeros_like(point)


def _check_finite(free: Tensor) -> None:
    # The sum isn't finite if an entry isn't. It is the quickest pass over memory (0.05 ms at 3024 × 192, where
    # `isfinite` takes 0.3 and the maximum norm 0.7), but finite entries may overflow it: then each one is looked at.
    if not bool(free.sum().isfinite()):
        bad = int((~torch.isfinite(free)).sum())
        if bad:
            raise NonFiniteError("free tensor", bad, free.numel())

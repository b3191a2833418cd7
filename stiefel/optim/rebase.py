"""Move the base of a parameterisation when its free tensor comes near the edge of its claims, optimiser and all."""

import torch
from jaxtyping import Inexact
from torch import Tensor, nn
from torch.nn.utils import parametrize

from stiefel.attach import OnStiefel
from stiefel.base import Trivialisation
from stiefel.linalg import norm_1
from stiefel.manifold import tangent_projection
from stiefel.optim.joint import Joint

_FIRST_MOMENTS = ("exp_avg", "momentum_buffer")
_KEPT = ("step", "exp_avg_sq", "max_exp_avg_sq")


class AutoRebase:
    """Keeps free tensors inside the domain of their map's claims: call `after_step()` after `optimiser.step()`.

    A free tensor whose norm passes `threshold` · `claims.domain` is taken to 0 around the current point; the
    weight stays as it is, to rounding. The optimiser's state of a `Trivialisation` is carried along: its first
    moment is projected to the tangent space at the new base, as a buffer is transported on the manifold; its
    second moment, a scale for each entry of the ambient matrix, is kept, and so is its step count. Any other map
    (Householder, Givens: their coordinates are reflectors or angles that a new base replaces one and all) starts
    with a fresh state, and so does a tensor whose optimiser keeps anything else than Adam's and SGD's moments.

    Source: Lezcano-Casado 2019 (dynamic trivialisation).
    """

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, *, threshold: float = 0.5):
        self.model, self.optimiser, self.threshold = model, optimiser, threshold

    @torch.no_grad()
    def after_step(self) -> int:
        """Rebase what needs it and return how many tensors that were.

        Cost: one pass over each free tensor, 2np² flops more if its Frobenius norm is past the threshold; a
        rebase is a QR and an SVD in float64. Reads one number of each tensor, which a GPU has to wait for.
        """
        rebased = 0
        for holder in self.model.modules():
            if isinstance(holder, parametrize.ParametrizationList):
                for each in holder:
                    if isinstance(each, OnStiefel) and self._is_far(each, holder.original):
                        self._rebase(each, holder.original)
                        rebased += 1
        return rebased

    def _is_far(self, adapter: OnStiefel, free: Tensor) -> bool:
        limit = self.threshold * adapter.map.claims.domain
        free = free.to(adapter.map.base.dtype)
        if not float(torch.linalg.matrix_norm(free).amax()) > limit:
            return False
        # √‖FᵀF‖₁ bounds the spectral norm as well, and for a large full-rank matrix it is several times smaller.
        return float(norm_1(free.mH @ free).amax()) > limit**2

    def _rebase(self, adapter: OnStiefel, free: Tensor) -> None:
        base = adapter.map.base
        free.copy_(adapter.map.right_inverse(adapter.map(free.to(base.dtype))))
        children = self.optimiser.optimisers if isinstance(self.optimiser, Joint) else [self.optimiser]
        for child in children:
            state = child.state.get(free, {})
            if isinstance(adapter.map, Trivialisation) and set(state) <= {*_FIRST_MOMENTS, *_KEPT}:
                for moment in (state[key] for key in _FIRST_MOMENTS if state.get(key) is not None):
                    moment.copy_(_carried(moment, adapter.map.base))
            else:
                child.state.pop(free, None)


def _carried(moment: Inexact[Tensor, "*b n p"], base: Inexact[Tensor, "*b n p"]) -> Inexact[Tensor, "*b n p"]:
    return tangent_projection(base, moment.to(base.dtype))

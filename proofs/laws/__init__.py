"""THE LAWS: one line each. A law maps (parameterisation, case) to defect / bound and holds while that is <= 1.

What hypothesis finds is *sampled* evidence: no counterexample among the cases drawn.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from proofs.cases import Case
from proofs.laws import calculus, compilation, optimisation, structure, training
from proofs.oracles import INVERSE_SYMMETRIC, oracle_of, original
from stiefel import Parameterisation
from stiefel.manifold import FLOATS


def _no_reason(by: type[Parameterisation]) -> str | None:
    return None


def _no_retraction(by: type[Parameterisation]) -> str | None:
    return "the map claims to be no retraction" if by.claims.retraction_order is None else None


def _free_is_the_point(by: type[Parameterisation]) -> str | None:
    return "its free tensor is the point itself" if by.claims.optimiser == "riemannian" else None


def _no_oracle(by: type[Parameterisation]) -> str | None:
    return f"no oracle is known for {by.__module__}:{by.__qualname__}" if oracle_of(by) is None else None


def _another_way_back(by: type[Parameterisation]) -> str | None:
    if by.claims.retraction_order == math.inf or original(by) in INVERSE_SYMMETRIC:
        return None
    return "it claims no geodesic and isn't Cayley's or the polar map: a square point may go back another way"


def _no_canonical_geodesic(by: type[Parameterisation]) -> str | None:
    is_one = by.claims.retraction_order == math.inf and by.claims.metric == "canonical"
    return None if is_one else "the map doesn't claim the canonical geodesic, whose inverse the logarithm is"


def _singular_coordinates(by: type[Parameterisation]) -> str | None:
    # With ‖F*‖₂ = ½, 14 of 60 cases at a signed permutation (angles of 0 and ±π/2) miss by up to 3e-4, and 4e-5 is left
    # of one with n = 4 after 300 iterations and after 3000. At a uniform base none of 60 missed; 3e-9 at worst.
    lost = "an angle of ±π/2 takes a dimension from the angles before it: near a signed permutation the search stalls"
    return lost if original(by) == "givens" else None


@dataclass(frozen=True)
class Law:
    """A law, its reach, and the cases it is tried on.

    ratio: defect / claimed bound; NaN, or an exception, refutes the law.
    exemption: why the law doesn't apply to a map, or `None` if it does.
    largest: the most rows n drawn.
    dtypes: the dtypes in which the law can be told from rounding.
    cost: how many cases of an ordinary law one of this law's takes the time of; so many times fewer are drawn.
    """

    name: str
    ratio: Callable[[type[Parameterisation], Case], float]
    exemption: Callable[[type[Parameterisation]], str | None] = _no_reason
    largest: int = 64
    dtypes: tuple[torch.dtype, ...] = FLOATS
    cost: int = 1

    @property
    def statement(self) -> str:
        """The law in one sentence."""
        return (self.ratio.__doc__ or "").partition("\n")[0]


_DOUBLE = (torch.float64,)

LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law("on the manifold", structure.on_the_manifold),
        Law("inner products kept", structure.inner_products_kept),
        Law("kernels kept", structure.kernels_kept),
        Law("round trip", structure.round_trip),
        Law("zero gives base", structure.zero_gives_base, _free_is_the_point),
        Law("equals oracle", structure.equals_oracle, _no_oracle),
        Law("batch equals loop", structure.batch_equals_loop, largest=24),
        Law("equivariant", structure.equivariant, _no_retraction),
        Law("inverse symmetric", structure.inverse_symmetric, _another_way_back, largest=24),
        Law("logarithm", structure.logarithm, _no_canonical_geodesic, largest=24),
        Law("derivative at base", calculus.derivative_at_base, _no_retraction, dtypes=_DOUBLE),
        Law("retraction order", calculus.retraction_order, _no_retraction, largest=24, dtypes=_DOUBLE),
        Law("projection at base", calculus.projection_at_base, _no_retraction),
        Law("gradient", calculus.gradient, dtypes=_DOUBLE),
        Law("higher gradients", calculus.higher_gradients, largest=4, dtypes=_DOUBLE),
        Law("forward mode", calculus.forward_mode, largest=24, dtypes=_DOUBLE),
        Law("transport is tangent", calculus.transport_is_tangent, _free_is_the_point),
        Law("compiled equals eager", compilation.compiled_equals_eager, largest=8, cost=10),
        Law("trained", training.trained, largest=24),
        Law("without drift", optimisation.without_drift, largest=8, cost=50),
        Law("target reached", optimisation.target_reached, _singular_coordinates, largest=8, dtypes=_DOUBLE),
        Law("averaged", training.averaged, _free_is_the_point, largest=24),
        Law("saved and copied", training.saved_and_copied, largest=24),
        Law("precision kept", training.precision_kept),
        Law("bad input refused", training.bad_input_refused, largest=8),
    )
}

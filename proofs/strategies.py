"""Hypothesis strategies: which cases are drawn for a map's claims."""

import math
from functools import partial

import torch

from proofs.cases import BASES, STRUCTURES, Base, Case, Structure
from stiefel import Claims
from stiefel.errors import MissingExtraError

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise MissingExtraError("sampling cases", "hypothesis", extra="proofs") from error

# The largest step drawn for a map that claims every free tensor.
UNBOUNDED_NORM = 10.0
BATCHES = ((), (2,), (1, 3))


def largest_norm(claims: Claims) -> float:
    """Return the largest spectral norm of a step drawn for these claims."""
    return UNBOUNDED_NORM if math.isinf(claims.domain) else claims.domain


# Every case takes the same draws from the same ranges: a search that climbs one draw at a time then meets a valid
# case at each step (with ranges that hang on earlier draws it spent 40 s on invalid ones).
_WIDTHS = ("one column", "square", "any", "fat", "thin")
_NORMS = ("limit", "zero", "tiny", "linear", "logarithmic")


def cases(
    claims: Claims, *, largest: int, dtypes: tuple[torch.dtype, ...], steps: int = 1000
) -> st.SearchStrategy[Case]:
    """Draw cases with at most `largest` rows inside the claimed domain; long runs in them take `steps` steps.

    Shapes that found faults come often: p = 1, n = p, p > n/2 and n >> p; so do steps of norm 0, 1e-30 and the limit.
    """
    return st.builds(
        partial(_case, largest_norm(claims), steps),
        n=st.integers(1, largest),
        width=st.sampled_from(_WIDTHS),
        p=st.integers(1, largest),
        batch=st.sampled_from(BATCHES),
        dtype=st.sampled_from(dtypes),
        structure=st.sampled_from(STRUCTURES),
        scale=st.sampled_from(_NORMS),
        fraction=st.floats(0.0, 1.0),
        base=st.sampled_from(BASES),
        seed=st.integers(0, 2**31 - 1),
    )


def _case(
    limit: float,
    steps: int,
    *,
    n: int,
    width: str,
    p: int,
    batch: tuple[int, ...],
    dtype: torch.dtype,
    structure: Structure,
    scale: str,
    fraction: float,
    base: Base,
    seed: int,
) -> Case:
    within = min(p, n)
    columns = {"one column": 1, "square": n, "any": within, "fat": max(within, n // 2 + 1), "thin": 1 + within // 8}
    # A logarithmic scale from 1e-12 to the limit.
    logarithmic = limit * (1e-12 / limit) ** (1.0 - fraction)
    norms = {"limit": limit, "zero": 0.0, "tiny": 1e-30, "linear": limit * fraction, "logarithmic": logarithmic}
    norm = min(math.pi, limit) if structure == "rotation" else norms[scale]
    return Case(n, columns[width], batch, dtype, structure, norm, base, seed, steps)

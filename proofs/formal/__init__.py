"""Theorems about the maps, checked by Coq: *proved*, where `proofs.verify` only samples.

The `.v` files lie in this folder. A `Theorem` in them is a headline and carries its statement in the `(** … *)` above
it; everything else is a `Lemma`. So the list of what is proved is kept in one place, beside the proofs.
"""

from proofs.formal.build import Report, check
from proofs.formal.statements import CLASSICAL, Theorem, theorems

__all__ = ["CLASSICAL", "Report", "Theorem", "check", "theorems"]

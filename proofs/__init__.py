"""Evidence for the laws of a parameterisation: *sampled* by hypothesis; `proofs.formal` has what Coq *proved*.

`proofs.verify` runs the search and needs the `proofs` extra; the laws and their cases don't.
"""

from proofs.cases import Case
from proofs.laws import LAWS, Law

__all__ = ["LAWS", "Case", "Law"]

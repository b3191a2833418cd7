"""Evidence for maps: laws *sampled* by hypothesis, floats of one checkpoint *certified*, theorems *proved* by Coq.

`proofs.verify` runs the search and needs the `proofs` extra, as do `proofs.exact` and `proofs.balls`; the laws, their
cases and the default certificates of `stiefel.certificate` don't.
"""

from proofs.cases import Case
from proofs.laws import LAWS, Law

__all__ = ["LAWS", "Case", "Law"]

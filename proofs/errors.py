"""Errors of `proofs`: a law broken without a number to say by how much, and a proof assistant that isn't there."""

from stiefel import StiefelError


class BrokenLaw(Exception):
    """A law that is broken in a way that one sentence tells better than a ratio."""


class CoqMissing(StiefelError):
    """A part of Coq that building the proofs needs and that isn't installed."""

    def __init__(self, missing: str):
        self.missing = missing
        super().__init__(
            f"building the proofs needs {missing}; on Debian 12 `apt-get install make coq libcoq-mathcomp-analysis "
            "libcoq-mathcomp-algebra-tactics` has it (Coq 8.16, mathcomp 1.15)"
        )

"""Errors of `proofs`: a law broken without a number to say by how much, and what can go wrong with Coq."""

from collections.abc import Mapping

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


class BuildFailed(StiefelError):
    """Coq files that don't compile."""

    def __init__(self, name: str, output: str):
        self.name, self.output = name, output
        super().__init__(f"{name}.v must compile, got {output.strip().splitlines()[-1:]}; see `proofs formal`")


class Refused(StiefelError):
    """A claim about a stored matrix that Coq's kernel doesn't accept, because it isn't true."""

    def __init__(self, name: str, frobenius: float):
        self.name, self.frobenius = name, frobenius
        super().__init__(f"Coq's kernel refuses ‖XᵀX − I‖_F <= {frobenius!r} of {name}; certify with `--exact` instead")


class KernelFailed(StiefelError):
    """A run of Coq that ended without a verdict."""

    def __init__(self, name: str, reason: str):
        self.name, self.reason = name, reason
        super().__init__(f"Coq must say whether it accepts the claim about {name}, but {reason}; leave out `--coq`")


class UnsuitableError(StiefelError):
    """A file without a matrix that Coq's kernel can be asked about."""

    def __init__(self, reasons: Mapping[str, str]):
        self.reasons = dict(reasons)
        told = "; ".join(f"{name}: {reason}" for name, reason in self.reasons.items())
        super().__init__(f"expected a matrix that Coq's kernel can check, got {told}; leave out `--coq`")

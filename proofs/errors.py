"""Errors of `proofs`: a missing extra, and a law that is broken without a number to say by how much."""

from stiefel import StiefelError


class MissingExtraError(StiefelError):
    """An optional package that isn't installed."""

    def __init__(self, what: str, package: str):
        self.what, self.package = what, package
        super().__init__(f"{what} needs {package}; install `stiefel-distill[proofs]`")


class BrokenLaw(Exception):
    """A law that is broken in a way that one sentence tells better than a ratio."""

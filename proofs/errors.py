"""The error of `proofs`: a law that is broken without a number to say by how much."""


class BrokenLaw(Exception):
    """A law that is broken in a way that one sentence tells better than a ratio."""

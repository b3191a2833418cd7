"""Errors of `distill`: each takes the facts, keeps them as attributes and writes its own sentence."""

from collections.abc import Iterable


class DistillError(ValueError):
    """Base of every error that a wrong input raises here: expected, got, what to do."""


class WidthError(DistillError):
    """Features or layers whose widths don't fit."""

    def __init__(self, what: str, expected: str, got: Iterable[int]):
        self.what, self.expected, self.got = what, expected, tuple(got)
        super().__init__(f"{what}: expected {expected}, got {self.got}; set the widths of your own features")


class WhiteningError(DistillError):
    """A whitening that is ill posed."""

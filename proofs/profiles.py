"""Profiles of a search: how many cases a law gets, and whether they are the same ones every time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """How hard to search.

    examples: cases of a law that costs one (see `Law.cost`).
    steps: of an optimiser in a long run.
    derandomize: whether the same cases come in every run; otherwise each run draws new ones.
    """

    examples: int
    steps: int
    derandomize: bool


PROFILES: dict[str, Profile] = {
    "dev": Profile(examples=10, steps=1000, derandomize=False),
    "ci": Profile(examples=25, steps=1000, derandomize=True),
    "nightly": Profile(examples=500, steps=10_000, derandomize=False),
}

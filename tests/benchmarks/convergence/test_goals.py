"""Our best against the others: a run that ended before the gap counts as a bound, never as a win."""

import pytest

from benchmarks.convergence.judge import Entry
from benchmarks.convergence.tables import goals

BUDGET = 40.0
PROBLEM = "pca:2000x50"


def entry(family: str, *seconds: float | None) -> Entry:
    runs = tuple(
        {"status": "stopped", "reached": {} if time is None else {"1e-06": {"seconds": time}}, "curve": {"gap": [1.0]}}
        for time in seconds
    )
    return Entry(PROBLEM, f"{family}'s", family, BUDGET, runs, {}, ())


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ((30.0, 30.0), "3 (geoopt's, 30 s)"),
        ((10.0, 10.0), "**1 (geoopt's, 10 s)**"),
        # The second run took 40 s at least: √(10·40)/10.
        ((10.0, None), ">= 2 (geoopt's, 1 of 2 seeds in 40 s)"),
        ((5.0, None), "**>= 1.4 (geoopt's, 1 of 2 seeds in 40 s)**"),
        ((None, None), "> 4: none reached it in 40 s"),
    ],
)
def test_a_rival_that_did_not_arrive_is_a_bound(theirs: tuple[float | None, ...], expected: str) -> None:
    ours, rival = entry("stiefel", 10.0, 10.0), entry("geoopt", *theirs)
    _, row = goals({PROBLEM: [ours, rival]})
    assert row[2] == expected
    assert row[3] == "**not compared**"

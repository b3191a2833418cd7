"""Let hypothesis search for a counterexample to every law of a map. What it reports is sampled, never proved."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from proofs.cases import Case
from proofs.laws import LAWS, Law
from proofs.profiles import PROFILES
from proofs.strategies import cases
from stiefel import Parameterisation
from stiefel.manifold import FLOATS

# strategies comes first: it says in one sentence that hypothesis is missing.
import hypothesis  # isort: skip

# The first case drawn is the simplest one, a single entry, so one alone says little.
_FEWEST = 2

Verdict = Literal["holds", "refuted", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """What the search says about one law.

    worst: the largest defect / bound seen (of the shrunk counterexample if refuted); `None` if not applicable.
    note: why the law doesn't apply, or the error that refuted it.
    counterexample: Python that shows the failure again.
    """

    law: str
    statement: str
    verdict: Verdict
    cases: int = 0
    worst: float | None = None
    seconds: float = 0.0
    note: str | None = None
    counterexample: str | None = None


class _Refuted(Exception):
    """One case that breaks a law."""

    def __init__(self, case: Case, ratio: float, note: str | None):
        self.case, self.ratio, self.note = case, ratio, note
        super().__init__(case)


def verify(
    by: type[Parameterisation],
    *,
    examples: int = PROFILES["ci"].examples,
    dtypes: Sequence[torch.dtype] = FLOATS,
    derandomize: bool = True,
    steps: int = PROFILES["ci"].steps,
) -> list[Finding]:
    """Return what a search over `examples` cases a law finds for each law, in the order of `LAWS`.

    A law that costs more than one gets so many times fewer cases, but two.
    """
    return [
        judge(law, by, examples=examples, dtypes=dtypes, derandomize=derandomize, steps=steps) for law in LAWS.values()
    ]


def judge(
    law: Law,
    by: type[Parameterisation],
    *,
    examples: int = PROFILES["ci"].examples,
    dtypes: Sequence[torch.dtype] = FLOATS,
    derandomize: bool = True,
    shrink: bool = True,
    steps: int = PROFILES["ci"].steps,
) -> Finding:
    """Search for a case that breaks one law, uphill along its ratio, and shrink the first one found.

    With `derandomize` the same cases come every time; without it each run draws new ones. Without `shrink` the
    counterexample is the first one found, which is quicker and larger. Long runs take `steps` steps of an optimiser.
    """
    usable = tuple(dtype for dtype in law.dtypes if dtype in dtypes)
    reason = law.exemption(by) or (None if usable else f"can be told from rounding in {law.dtypes[0]} only")
    if reason is not None:
        return Finding(law.name, law.statement, "not applicable", note=reason)
    seen: list[float] = []
    phases = [phase for phase in hypothesis.Phase if shrink or phase is not hypothesis.Phase.shrink]

    @hypothesis.settings(
        max_examples=min(examples, max(_FEWEST, examples // law.cost)),
        phases=phases,
        derandomize=derandomize,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=(hypothesis.HealthCheck.too_slow,),
    )
    @hypothesis.given(cases(by.claims, largest=law.largest, dtypes=usable, steps=steps))
    def search(case: Case) -> None:
        ratio, note = _try(law, by, case)
        # Written so that NaN is refused.
        if not ratio <= 1:
            raise _Refuted(case, ratio, note)
        seen.append(ratio)
        hypothesis.target(ratio)

    start = time.perf_counter()
    try:
        search()
    except _Refuted as refuted:
        seconds = time.perf_counter() - start
        return Finding(
            law.name,
            law.statement,
            "refuted",
            len(seen),
            refuted.ratio,
            seconds,
            refuted.note,
            _as_python(law, by, refuted.case),
        )
    return Finding(law.name, law.statement, "holds", len(seen), max(seen), time.perf_counter() - start)


def _try(law: Law, by: type[Parameterisation], case: Case) -> tuple[float, str | None]:
    try:
        return law.ratio(by, case), None
    except Exception as error:  # whatever a map raises on a valid case refutes the law
        return math.inf, f"{type(error).__name__}: {error}".splitlines()[0]


def _as_python(law: Law, by: type[Parameterisation], case: Case) -> str:
    return (
        "import math, stiefel, torch\n"
        "from proofs import LAWS, Case\n"
        f"case = {case.as_python()}\n"
        f'print(LAWS["{law.name}"].ratio(stiefel.get("{by.__module__}:{by.__qualname__}"), case))\n'
    )

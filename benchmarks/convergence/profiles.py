"""What a profile runs: `quick` is part of the gate, `full` is what is published."""

from dataclasses import dataclass, replace

from benchmarks.convergence.methods import registered
from benchmarks.convergence.problems import PROBLEMS


@dataclass(frozen=True)
class Part:
    """Problems that share methods and a budget: seconds on a method's clock for each run."""

    problems: tuple[str, ...]
    methods: tuple[str, ...]
    budget: float


@dataclass(frozen=True)
class Plan:
    """All that a benchmark runs. threads: torch's and BLAS's alike; drift_steps: 0 leaves drift out."""

    parts: tuple[Part, ...]
    seeds: int
    threads: int
    drift_steps: int

    def with_flags(
        self,
        *,
        problems: list[str] | None,
        methods: list[str] | None,
        budget: float | None,
        seeds: int | None,
        threads: int | None,
    ) -> "Plan":
        """Return the plan with what the command line says in place of it."""
        parts = self.parts
        if problems:
            parts = (Part(tuple(problems), tuple(registered()), parts[0].budget),)
        if methods:
            parts = tuple(replace(part, methods=tuple(methods)) for part in parts)
        if budget:
            parts = tuple(replace(part, budget=budget) for part in parts)
        return replace(self, parts=parts, seeds=seeds or self.seeds, threads=threads or self.threads)


def plan(name: str) -> Plan:
    """Return the plan called `name`, one of PROFILES."""
    return PROFILES[name]()


def _quick() -> Plan:
    # Small shapes of every problem, one or two methods of every family; a budget that tells a working method from
    # a broken one, not one that ranks them.
    few = (
        "cayley + SGD",
        "cayley + Adam",
        "cayley + L-BFGS",
        "householder + Adam",
        "landing + SGD",
        "riemannian + SGD",
        "riemannian + L-BFGS",
        "geoopt Euclidean + RSGD",
        "torch cayley + SGD",
        "geotorch cayley + SGD",
        "soft penalty + SGD",
        "pymanopt conjugate gradients",
    )
    small = tuple(SMALL.get(name, name) for name in PROBLEMS)
    return Plan((Part(small, _installed(few), 0.1),), seeds=2, threads=1, drift_steps=200)


def _full() -> Plan:
    # At 2000 × 50 a run takes seconds: those that could be the quickest there, of ours and of everybody else.
    large = (
        "cayley + L-BFGS",
        "landing + L-BFGS",
        "riemannian + L-BFGS",
        "riemannian + SGD",
        "geoopt Euclidean + RSGD",
        "geoopt Euclidean + RAdam",
        "pymanopt conjugate gradients",
        "pymanopt trust regions",
        "torch householder + SGD",
    )
    others = tuple(SMALL.get(name, name) for name in PROBLEMS)
    # The condition number of Brockett's cost is 3000 at p = 50: 380 evaluations of L-BFGS to 1e-6, 16 to 20 s.
    brockett = (
        "landing + L-BFGS",
        "riemannian + L-BFGS",
        "riemannian + SGD",
        "geoopt Euclidean + RSGD",
        "pymanopt conjugate gradients",
        "pymanopt trust regions",
    )
    parts = (
        Part(("procrustes:2000x50", "pca:2000x50"), _installed(large), 6.0),
        Part(("brockett:2000x50",), _installed(brockett), 40.0),
        Part(others, tuple(registered()), 0.12),
    )
    return Plan(parts, seeds=5, threads=1, drift_steps=100_000)


SMALL = {"pca": "pca:200x10", "brockett": "brockett:100x5", "procrustes": "procrustes:200x10"}
PROFILES = {"quick": _quick, "full": _full}


def _installed(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of optional packages only where these are installed."""
    return tuple(name for name in names if name in registered())

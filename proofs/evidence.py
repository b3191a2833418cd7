"""Write docs/evidence.md: which claim of which parameterisation rests on which kind of evidence.

    python -m proofs.evidence            # after a change to the maps, the laws, the mutants or the tables below
    python -m proofs.evidence --check    # exit code 1 if the page isn't what the code says

The whole page is generated; nobody edits it by hand.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import stiefel
from proofs.laws import LAWS, Law
from proofs.mutants import MUTANTS
from proofs.profiles import PROFILES
from stiefel import console

PAGE = Path(__file__).parents[1] / "docs" / "evidence.md"

# Evidence beyond samples: law -> map -> what it rests on (a method of certification, a theorem's name).
Table = Mapping[str, Mapping[str, str]]
_BOUND = (
    "`proofs certify RUN_FOLDER`: rigorous bounds of ‖XᵀX − I‖ for the floats that the map computed; checked by Coq's "
    "kernel with `--coq`, up to 64 × 64"
)
_BALLS = "`proofs certify --exact`: 200-bit balls around the exact map, up to 256 rows"
CERTIFIED: Table = {
    "on the manifold": dict.fromkeys(stiefel.names(), _BOUND),
    "inner products kept": dict.fromkeys(stiefel.names(), _BOUND + ", which bounds |⟨xP, yP⟩ − ⟨x, y⟩|"),
    "equals oracle": {
        "cayley": "`proofs certify`: the residual of the exact map's equation",
        "householder": "`proofs certify`: reflectors one after another, their roundings bounded",
        **dict.fromkeys(("landing", "riemannian"), "`proofs certify`: the point is the stored tensor"),
        **dict.fromkeys(("dense_exponential", "exponential", "exponential_euclidean", "givens", "polar"), _BALLS),
        "qr": _BALLS + ", for real weights",
    },
}
_ON_THE_MANIFOLD = {
    "cayley": "compact_cayley_on_manifold",
    "dense_exponential": "exponential_orthogonal",
    "exponential": "compact_exponential_on_manifold",
    "householder": "compact_wy_on_manifold",
    "polar": "normalised_on_manifold",
    "qr": "normalised_on_manifold",
}
# Law -> map -> the theorem's name in `proofs.formal.theorems()`.
PROVED: Table = {
    "on the manifold": _ON_THE_MANIFOLD,
    "inner products kept": dict.fromkeys(_ON_THE_MANIFOLD, "isometry_iff_inner_products_kept"),
    "kernels kept": dict.fromkeys(_ON_THE_MANIFOLD, "gram_matrices_kept"),
    "equals oracle": {
        "cayley": "compact_cayley_equals_dense",
        "exponential": "compact_exponential_equals_dense",
        "householder": "compact_wy_first_columns",
        "polar": "polar_point_is_nearest",
    },
}

_KINDS = """\
Three kinds of evidence, and none stands in for another:

- **sampled** (S): hypothesis draws cases and searches uphill for a counterexample; none was found. `proofs verify NAME`
  runs the search, by `--profile`: {examples}.
- **certified** (C): a rigorous bound for one concrete matrix, the very one on disk.
- **proved** (P): a theorem about the map in exact arithmetic, checked by a proof assistant; rounding is not in it.

A dash: the law doesn't apply to the map, for the reason given below."""

_LAWS = """\
Each law is a ratio, defect / claimed bound, that has to be 1 or less. A law that lets every wrong map live is worth
nothing, so each has wrong maps that it must refute (`proofs/mutants.py`), and a test shows that it does."""

_PROVED = """\
`proofs formal` has [Coq check](formal.md) these and more. They speak of the formulas in exact arithmetic; the roots and
triangular factors of `polar` and `qr` are taken as given."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return console.run("proofs.evidence", lambda: _main(argv), (OSError,))


def _main(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="python -m proofs.evidence", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if something would change")
    arguments = parser.parse_args(argv)
    made = page(CERTIFIED, PROVED)
    is_stale = not PAGE.exists() or PAGE.read_text() != made
    if is_stale and not arguments.check:
        PAGE.write_text(made)
    return int(is_stale and arguments.check)


def page(certified: Table, proved: Table) -> str:
    """Return the page for these tables of evidence beyond samples."""
    examples = ", ".join(f"{profile.examples} cases a law in {name}" for name, profile in PROFILES.items())
    sections = [
        "<!-- written by python -m proofs.evidence; edits are overwritten -->",
        "# What each claim rests on",
        _KINDS.format(examples=examples),
        _claims(certified, proved),
        "## What the laws say",
        _LAWS,
        _rows(("law", "what it says", "refutes"), (_stated(law) for law in LAWS.values())),
        "## Where a law doesn't apply",
        _rows(("law", "maps", "reason"), _exemptions()),
        "## Certified",
        _listed(certified),
        "## Proved",
        _PROVED,
        _listed(proved),
    ]
    return "\n\n".join(sections) + "\n"


def _claims(certified: Table, proved: Table) -> str:
    names = stiefel.names()

    def kinds(law: Law, name: str) -> str:
        found = ["S"] if law.exemption(stiefel.get(name)) is None else []
        found += [letter for letter, table in (("C", certified), ("P", proved)) if name in table.get(law.name, {})]
        return " ".join(found) or "–"

    headings = ("law", *(f"`{name}`" for name in names))
    return _rows(headings, ((law.name, *(kinds(law, name) for name in names)) for law in LAWS.values()))


def _stated(law: Law) -> tuple[str, ...]:
    refuted = [f"`{mutant.by.__name__}`" for mutant in MUTANTS if law.name in mutant.refuted_by]
    return law.name, law.statement.replace("|", r"\|"), ", ".join(refuted)


def _exemptions() -> Iterable[tuple[str, ...]]:
    for law in LAWS.values():
        exempt: dict[str, list[str]] = {}
        for name in stiefel.names():
            reason = law.exemption(stiefel.get(name))
            if reason is not None:
                exempt.setdefault(reason, []).append(f"`{name}`")
        for reason, names in exempt.items():
            yield law.name, ", ".join(names), reason


def _listed(table: Table) -> str:
    unknown = sorted(set(table) - set(LAWS)) + sorted(
        {name for maps in table.values() for name in maps} - set(stiefel.names())
    )
    if unknown:
        raise ValueError(f"no such law or map: {', '.join(unknown)}")
    rows = [(law, f"`{name}`", basis) for law, maps in table.items() for name, basis in maps.items()]
    return _rows(("law", "map", "rests on"), rows)


def _rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    sys.exit(main())

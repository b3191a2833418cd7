"""The tables of the READMEs as Markdown, each made of the results that it shows."""

from collections.abc import Sequence
from typing import Any

import stiefel
from benchmarks import growth
from benchmarks.overhead import STUDENT, TEACHER
from benchmarks.speed import FLOOR, REFERENCE, UNIT

# Forward + backward in products of n·p·p, at n >= 8p and elsewhere.
GOALS = {"cayley": (9, 13), "qr": (10, 13), "householder": (10, 13), "polar": (12, 18), "exponential": (25, 50)}
TORCH_GOALS = (
    (REFERENCE, (3024, 192), tuple(GOALS), 100),
    ("torch orthogonal matrix_exp", (192, 192), ("exponential",), 5),
)

Rows = dict[str, dict[str, float]]


def tables(speed: dict[str, Any], grown: dict[str, Any]) -> dict[str, str]:
    """Return every table by its name, given the results of `benchmarks.speed` and `benchmarks.growth`."""
    results = {tuple(result["shape"]): result["rows"] for result in speed["results"]}
    return {
        "machine": _machine(speed["environment"]),
        "goals": _goals(results),
        "torch": _torch(results),
        "peers": _peers(results),
        "growth": _growth(grown),
        "shapes": _shapes(results),
        "flag": _flag(results[3024, 192]),
    }


def overhead(results: dict[str, Any]) -> str:
    """Return the table of `benchmarks.overhead`; **bold** misses the goal, a share of the whole step."""
    table = [["part", "ms", "of the student's step", "of the whole step"]]
    for name, row in results["rows"].items():
        share = f"{row['of_step']:.2%}"
        is_met = name in (STUDENT, TEACHER) or row["of_step"] <= results["goal"]
        table.append([name, f"{row['step_ms']:.1f}", f"{row['of_student']:.2%}", _judged(share, is_met)])
    return _markdown(table)


def _goals(results: dict[tuple[int, ...], Rows]) -> str:
    header = ["n × p", FLOOR, *GOALS, "best peer", "our quickest", "our quickest weight"]
    table = [header]
    for shape, rows in results.items():
        figures = []
        for name, (long, other) in GOALS.items():
            goal = long if shape[-2] >= 8 * shape[-1] else other
            products = rows[name]["products"]
            figures.append(_judged(f"{products:.1f} ({goal})", products <= goal))
        # A Riemannian step isn't a pass through the weight, so the quickest of those is named too.
        weights = [name for name in _ours(rows) if stiefel.get(name).claims.optimiser == "any"]
        best = [_quickest(rows, names) for names in (_others(rows), _ours(rows), weights)]
        table.append([_text(shape), f"{rows[FLOOR]['products']:.1f}", *figures, *best])
    return _markdown(table)


def _torch(results: dict[tuple[int, ...], Rows]) -> str:
    table = [["times quicker than", "at", "goal", "measured"]]
    for peer, shape, names, goal in TORCH_GOALS:
        ratios = {name: results[shape][peer]["step_ms"] / results[shape][name]["step_ms"] for name in names}
        measured = ", ".join(_judged(f"{name} {_figure(ratio)}", ratio >= goal) for name, ratio in ratios.items())
        table.append([peer, _text(shape), f">= {goal}", measured])
    return _markdown(table)


def _peers(results: dict[tuple[int, ...], Rows]) -> str:
    names = _ours(next(iter(results.values())))
    table = [["n × p", "best peer", *names]]
    for shape, rows in results.items():
        peer = min(_others(rows), key=lambda name: rows[name]["step_ms"])
        ratios = [rows[peer]["step_ms"] / rows[name]["step_ms"] for name in names]
        table.append([_text(shape), peer, *(_judged(_figure(ratio), ratio >= 1) for ratio in ratios)])
    return _markdown(table)


def _growth(grown: dict[str, Any]) -> str:
    sizes = [f"{row['n']}" for row in next(iter(grown["maps"].values()))["rows"]]
    times = [["ms at n =", *sizes]]
    times += [[name, *(_figure(row["step_ms"]) for row in each["rows"])] for name, each in grown["maps"].items()]
    caption = f"p = {grown['p']}, float32; fitted from n = {grown['fit_from']} on; {_machine(grown['environment'])}"
    return "\n\n".join([caption, _markdown(growth.judged(grown)), _markdown(times)])


def _shapes(results: dict[tuple[int, ...], Rows]) -> str:
    parts = []
    for shape, rows in results.items():
        table = [["entry", "ms", "matrix products"]]
        table += [[name, f"{row['step_ms']:.2f}", f"{row['products']:.1f}"] for name, row in rows.items()]
        parts.append(f"### {_text(shape)}\n\n{_markdown(table)}")
    return "\n\n".join(parts)


def _flag(rows: Rows) -> str:
    table = [["`by=`", "forward + backward at 3024 × 192", "against torch's `orthogonal`"]]
    for name in sorted(_ours(rows), key=lambda name: rows[name]["step_ms"]):
        note = "" if stiefel.get(name).claims.optimiser == "any" else " (its optimiser's step)"
        ratio = rows[REFERENCE]["step_ms"] / rows[name]["step_ms"]
        against = f"{_figure(ratio)} times quicker" if ratio >= 1 else f"{_figure(1 / ratio)} times slower"
        table.append([f"`{name}`{note}", f"{_figure(rows[name]['step_ms'])} ms", against])
    table.append(["torch's `orthogonal`, its default map", f"{_figure(rows[REFERENCE]['step_ms'])} ms", ""])
    return _markdown(table)


def _machine(environment: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {environment['packages'][name]}" for name in ("torch", "geoopt", "geotorch"))
    return f"{environment['processor']}, {environment['torch_threads']} threads, {packages}."


def _ours(rows: Rows) -> list[str]:
    registered = stiefel.names()
    return [name for name in rows if name in registered]


def _others(rows: Rows) -> list[str]:
    ours = {UNIT, FLOOR, *_ours(rows)}
    return [name for name in rows if name not in ours]


def _quickest(rows: Rows, names: Sequence[str]) -> str:
    name = min(names, key=lambda name: rows[name]["step_ms"])
    return f"{name} {rows[name]['step_ms']:.2f} ms"


def _judged(text: str, met: bool) -> str:
    return text if met else f"**{text}**"


def _figure(value: float) -> str:
    """Return about two digits, without an exponent from 1 on: 0.79, 5.6, 1558."""
    return f"{value:.2g}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _markdown(table: list[list[str]]) -> str:
    header, *rows = table
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])

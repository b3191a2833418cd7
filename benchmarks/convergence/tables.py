"""The tables of the page and of benchmarks/README.md, each made of results alone."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.convergence import judge, problems
from benchmarks.convergence.judge import OURS, Entry
from benchmarks.convergence.results import read
from benchmarks.convergence.watch import TARGETS

Table = list[list[str]]
# Of the must: the best of ours against the best of these, at the large shape, to this gap.
GOAL_TARGET, GOAL_RATIO, GOAL_SHAPE = 1e-6, 2.0, "2000x50"
README_TABLES = ("convergence_goals", "convergence_methods", "convergence_flagged")
RIVALS = {"geoopt, torch or geotorch": (("geoopt", "torch", "geotorch"), GOAL_RATIO), "pymanopt": (("pymanopt",), 1.0)}


def by_problem(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return the entries of each problem, the ranked ones first and best first."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.problem, []).append(entry)
    return {
        problem: sorted(each, key=lambda entry: (not entry.is_ranked, entry.rank)) for problem, each in found.items()
    }


def ranking(entries: Sequence[Entry]) -> Table:
    """Return the table of one problem: time, own time, iterations and flops to the targets, and what is wrong."""
    header = ["method", *(f"s to {target:.0e}" for target in TARGETS)]
    header += [
        "own s to 1e-06",
        "iterations to 1e-06",
        "Gflop to 1e-06",
        "peak MiB",
        "last gap",
        "worst defect",
        "learning rate",
        "",
    ]
    table = [header]
    for entry in entries:
        if entry.is_left_out:
            table.append([entry.method, *[""] * (len(header) - 2), entry.runs[0]["reason"]])
            continue
        rate = entry.runs[0].get("lr")
        table.append(
            [
                entry.method,
                *(_interval(entry, target) for target in TARGETS),
                _figure(entry.typical(1e-6, "own_seconds")[0]),
                _figure(entry.typical(1e-6, "iterations")[0]),
                _figure(entry.typical(1e-6, "flops")[0] / 1e9),
                _figure(float(entry.cost.get("peak_mib", math.nan))),
                f"{entry.last_gap:.1e}",
                f"{entry.worst_defect:.1e}",
                f"{rate:.2g}" if entry.runs[0]["is_tuned"] else "",
                "; ".join(entry.flags),
            ]
        )
    return table


def recommendations(found: dict[str, list[Entry]]) -> Table:
    """Return "problem shape → method": the quickest of all, the quickest of ours and of everybody else's."""
    table = [["problem", "shape", "quickest", "of ours", "of others", "to a gap of"]]
    for problem, entries in found.items():
        ranked = [entry for entry in entries if entry.is_ranked]
        if not ranked:
            continue
        target, key = _hardest(ranked)
        ranked.sort(key=key)
        name, _, _ = problem.partition(":")
        ours = [entry for entry in ranked if entry.family == OURS]
        others = [entry for entry in ranked if entry.family != OURS]
        cells = [_told(each[0], target) if each else "-" for each in (ranked, ours, others)]
        table.append(
            [problems.get(name).shape_name, problem, *cells, f"{target:.0e}" if target else "none reached: last gap"]
        )
    return table


def goals(found: dict[str, list[Entry]]) -> Table:
    """Return how our best compares at the large shape; **bold** where a goal is missed."""
    table = [["problem", "our best", *(f"{name} (times ours, >= {ratio:g})" for name, (_, ratio) in RIVALS.items())]]
    for problem, entries in found.items():
        if not problem.endswith(GOAL_SHAPE):
            continue
        ours = _best(entries, (OURS,))
        row = [problem, _told(ours, GOAL_TARGET) if ours else "none reached it"]
        for families, least in RIVALS.values():
            row.append(_against(ours, entries, families, least))
        table.append(row)
    return table


def flagged(found: dict[str, list[Entry]]) -> Table:
    """Return who isn't ranked, and why."""
    table = [["problem", "method", "why it isn't ranked"]]
    table += [
        [entry.problem, entry.method, "; ".join(entry.flags)]
        for entries in found.values()
        for entry in entries
        if entry.flags
    ]
    return table


def _against(ours: Entry | None, entries: Sequence[Entry], families: tuple[str, ...], least: float) -> str:
    """Return the ratio of the quickest rival's time to ours; at least that where not all of its runs got there."""
    rivals = [entry for entry in entries if entry.family in families and entry.is_ranked]
    if ours is None or not rivals:
        return "**not compared**"
    best = min(rivals, key=_least_time)
    ratio = _least_time(best) / ours.typical(GOAL_TARGET)[0]
    count = sum(math.isfinite(value) for value in best.reached(GOAL_TARGET))
    if count == len(best.runs):
        text = f"{ratio:.2g} ({best.method}, {_figure(_least_time(best))} s)"
    elif count:
        text = f">= {ratio:.2g} ({best.method}, {count} of {len(best.runs)} seeds in {best.budget:g} s)"
    else:
        text = f"> {ratio:.2g}: none reached it in {best.budget:g} s"
    return text if ratio >= least else f"**{text}**"


def _least_time(entry: Entry) -> float:
    """Return the geometric mean of an entry's times to the target, a bound where runs ended before: their budget."""
    times = [min(time, entry.budget) for time in entry.reached(GOAL_TARGET)]
    return math.exp(math.fsum(map(math.log, times)) / len(times))


def _best(entries: Sequence[Entry], families: tuple[str, ...]) -> Entry | None:
    reached = [
        entry
        for entry in entries
        if entry.family in families and entry.is_ranked and math.isfinite(entry.typical(GOAL_TARGET)[0])
    ]
    return min(reached, key=lambda entry: entry.typical(GOAL_TARGET)[0], default=None)


def _hardest(ranked: Sequence[Entry]) -> tuple[float | None, Callable[[Entry], float]]:
    """Return the hardest target up to 1e-6 that anybody reached from every start, and what to sort by."""
    for target in (1e-6, 1e-3):
        if any(math.isfinite(entry.typical(target)[0]) for entry in ranked):
            return target, partial(_time_to, target)
    return None, lambda entry: entry.last_gap


def _time_to(target: float, entry: Entry) -> float:
    return entry.typical(target)[0]


def _told(entry: Entry, target: float | None) -> str:
    if target is None:
        return f"{entry.method}: {entry.last_gap:.1e}"
    time = entry.typical(target)[0]
    return f"{entry.method}: {_figure(time)} s" if math.isfinite(time) else "not reached"


def _interval(entry: Entry, target: float) -> str:
    """Return the time with its interval; how many seeds got there if not all did."""
    mean, low, high = entry.typical(target)
    if math.isfinite(mean):
        return f"{_figure(mean)} ({_figure(low)} to {_figure(high)})"
    count = sum(math.isfinite(value) for value in entry.reached(target))
    return f"{count} of {len(entry.runs)} seeds" if count else "-"


def _figure(value: float) -> str:
    """Return about two digits; nothing for what wasn't reached."""
    if not math.isfinite(value):
        return ""
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def for_readme(path: Path) -> dict[str, str]:
    """Return the tables of benchmarks/README.md by name, of the results that are committed at `path`."""
    if not path.exists():
        return dict.fromkeys(README_TABLES, "No results of the full profile are committed yet.")
    lines = read(path)
    found = by_problem(judge.entries(lines))
    made = (goals(found), recommendations(found), flagged(found))
    return {name: markdown(table) for name, table in zip(README_TABLES, made, strict=True)}


def markdown(table: Table) -> str:
    """Return a table as Markdown."""
    header, *rows = table
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])

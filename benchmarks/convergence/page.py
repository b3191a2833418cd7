"""Write `report.html`, one self-contained file, and its figures as PNG, from the lines of a results file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.convergence import pictures, tables
from benchmarks.convergence.judge import beaten, entries
from benchmarks.convergence.results import Line


@dataclass(frozen=True)
class Section:
    """A part of the page: a figure, a table, or both."""

    title: str
    caption: str
    svg: str
    table: tables.Table


def write(lines: Sequence[Line], folder: Path) -> None:
    """Write the page and the PNGs into `folder`, replacing what was there."""
    loader = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("page.html.j2")
    environments = [line["environment"] for line in lines if line["kind"] == "environment"]
    text = template.render(
        sentences=_sentences(lines),
        sections=_sections(lines, folder),
        environments=json.dumps(environments, indent=2, ensure_ascii=False),
    )
    temporary = folder / "report.tmp"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(folder / "report.html")


def _sentences(lines: Sequence[Line]) -> list[str]:
    found = entries(lines)
    runs = sum(len(entry.runs) for entry in found)
    problems, methods = len({entry.problem for entry in found}), len({entry.method for entry in found})
    told = [
        f"{runs} runs of {methods} methods on {problems} problems; {sum(map(lambda e: bool(e.flags), found))} flagged."
    ]
    told += [f"{problem}: somebody ended below its optimum, which therefore isn't one." for problem in beaten(found)]
    return told


def _sections(lines: Sequence[Line], folder: Path) -> list[Section]:
    found = entries(lines)
    by_problem = tables.by_problem(found)
    sections = [
        Section(
            "Which method for which problem",
            "The quickest method that reached the gap from every start; times are those of the method alone.",
            "",
            tables.recommendations(by_problem),
        )
    ]
    goals = tables.goals(by_problem)
    if len(goals) > 1:
        caption = f"Seconds to a gap of {tables.GOAL_TARGET:.0e}; bold where a goal is missed."
        sections.append(Section(f"Our best against the others at {tables.GOAL_SHAPE}", caption, "", goals))
    sections += [
        Section(
            "Performance profiles",
            "How often a method was within a factor of the quickest one, over all problems and seeds that anybody "
            "solved; one that isn't ranked, or wasn't run, counts as not solving it.",
            pictures.save(pictures.profiles(found), folder / "profiles.png"),
            [],
        )
    ]
    for problem, each in by_problem.items():
        svg = pictures.save(pictures.convergence(each), folder / f"{problem.replace(':', '-')}.png")
        caption = (
            f"Median seed of each method, {each[0].budget:g} s a run; the eight best in colour, ours solid. Times: "
            "geometric mean over seeds and its 95 % interval. Own time leaves out the problem's loss and gradient."
        )
        sections.append(Section(problem, caption, svg, tables.ranking(each)))
    svg = pictures.save(pictures.defects(found), folder / "defects.png")
    sections.append(Section("Defect against gap", "The norm of XᵀX − I of a method's own iterates.", svg, []))
    drifts = [line for line in lines if line["kind"] == "end" and line["what"] == "drift"]
    if drifts:
        svg = pictures.save(pictures.drift(drifts), folder / "drift.png")
        sections.append(Section("Drift", "Random gradients in float32, learning rate 0.01, St(16, 4).", svg, []))
    sections.append(Section("Flagged, not ranked", "", "", tables.flagged(by_problem)))
    return sections

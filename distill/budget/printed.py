"""Calibrations and explanations as tables and sentences, and a calibration as a file."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from distill.budget import sheet
from distill.budget.calibrate import ALLOWED, Calibration, Row
from distill.budget.explain import Explanation
from distill.environment import environment
from distill.errors import RecipeFileError
from distill.run_folder import create, write_atomically

# Where a calibration is looked for, from the working directory: the project's own, if it was made on this machine.
CALIBRATION = Path("benchmarks/results/calibration-cpu.json")

_SHOWN = 12
_ASIDE = ("evaluation_seconds", "checkpoint_seconds", "logging_seconds")


def calibration(found: Calibration) -> list[Table | str]:
    """Return predicted over measured for every reference step, and the verdict."""
    table = Table(title=f"{found.sheet.name}; {found.sheet.source}; {found.clock}", title_justify="left")
    for header in ("step", "predicted, ms", "measured, ms", "predicted / measured"):
        table.add_column(header, justify="left" if header == "step" else "right", no_wrap=header == "step")
    for row in found.rows:
        numbers = (f"{row.predicted_ms:.3g}", f"{row.measured_ms:.3g}", f"{row.ratio:.2f}")
        table.add_row(f"{row.group}: {row.name}", *numbers)
    return [table, *verdict(found)]


def verdict(found: Calibration) -> list[str]:
    """Return what a calibration says of the model, in sentences."""
    within = f"{found.within} of {len(found.rows)} steps are predicted within a factor of {ALLOWED:g}"
    wrong = [f"{quick.group}: {slow.name} before {quick.name}" for quick, slow in found.misordered]
    order = f"Of {len(found.pairs)} pairs of steps that are clearly apart, "
    order += f"{len(wrong)} are predicted in the wrong order ({'; '.join(wrong)})." if wrong else "all are in order."
    return [f"{within}, the worst by {found.worst:.2f}.", order]


def write_calibration(found: Calibration, path: Path) -> None:
    """Write a calibration as JSON; `distill.budget.sheet.read` takes the sheet back out."""
    rows = [{**vars(row), "ratio": row.ratio} for row in found.rows]
    content: dict[str, Any] = {"environment": environment(), "clock": found.clock, "verdict": verdict(found)}
    content |= {"sheet": sheet.as_json(found.sheet), "rows": rows}
    create(path.parent)
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def trust(path: Path | None = None) -> list[str]:
    """Return sentences that say how far predictions for a V100 can be trusted, by a file of `write_calibration`.

    By default the project's own, where it is at hand and of this kind of processor.
    Raises: RecipeFileError for a file that holds no calibration.
    """
    start = "V100 times are predicted by a model of the card; none was at hand."
    known = path or (CALIBRATION if CALIBRATION.exists() else None)
    processor, found = read_calibration(known) if known else ("", None)
    if found is None or (path is None and processor != environment()["processor"]):
        how = "distill budget calibrate --out FILE, then compare with --calibration FILE"
        return [f"{start} How well the model predicts this machine isn't known here; to measure it: {how}."]
    return [f"{start} Held against {processor}: {' '.join(verdict(found))}"]


def read_calibration(path: Path) -> tuple[str, Calibration]:
    """Return the processor that `write_calibration` wrote a calibration of, and the calibration.

    Raises: RecipeFileError.
    """
    machine = sheet.read(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = ("group", "name", "predicted_ms", "measured_ms")
        rows = [Row(*(row[name] for name in names)) for row in content["rows"]]
        return content["environment"]["processor"], Calibration(machine, rows, content["clock"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        cure = "write one by distill budget calibrate --out"
        raise RecipeFileError(path, f"it holds no calibration ({error})", cure=cure) from error


def explanation(found: Explanation) -> list[Table | str]:
    """Return where a step's seconds go."""
    parts = Table(
        "part", "ms", "share", title=f"{1e3 * found.seconds:.3g} ms a step, predicted for a {found.sheet.name}"
    )
    for part, seconds in found.parts.items():
        parts.add_row(part, f"{1e3 * seconds:.3g}", f"{seconds / found.seconds:.0%}")
    operators = Table(
        "operator", "kind", "calls", "ms", "share", title=f"the dearest of {len(found.operators)} operators"
    )
    for name, kind, calls, seconds in found.operators[:_SHOWN]:
        operators.add_row(name, kind, str(calls), f"{1e3 * seconds:.3g}", f"{seconds / found.seconds:.0%}")
    memory = "within its memory" if found.fits else f"more than its {found.sheet.memory / 1e9:.3g} GB of memory"
    return [parts, operators, f"{found.flops:.3g} flops a step; {found.peak_bytes / 1e9:.3g} GB at its peak, {memory}."]


def spending(summary: dict[str, Any]) -> str:
    """Return what a finished run spent, and what it wasn't charged for."""
    aside = ", ".join(f"{key.removesuffix('_seconds')} {summary[key]:.3g} s" for key in _ASIDE)
    return f"On this machine: {summary['steps']} steps in {summary['train_seconds']:.4g} s. Not charged: {aside}."

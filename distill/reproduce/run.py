"""One experiment from its runs to its picture: trained under one folder that all experiments share."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from distill.compare import run_all
from distill.config import Config
from distill.executors import Executor
from distill.processes import is_first_process
from distill.report.picture import save, style
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.run_folder import RunFolder, write_atomically
from distill.train import run_config

# Digits of a number in the JSON: more than seeds agree on, and half the file.
_DIGITS = 6


def reproduce(
    name: str,
    experiment: Experiment,
    config: Config,
    *,
    recipe: str,
    seeds: int,
    folder: Path,
    command: Sequence[str],
    executor: Executor,
    resume: bool = False,
) -> Finding:
    """Train what an experiment needs and write `name`/`name`.png and .json under `folder`; return what was found.

    The runs lie under `folder` too, where other experiments find them. With `resume` an interrupted experiment goes
    on, and a finished one is drawn anew.

    Raises: RunFolderError, and what `distill.executors.execute` raises.
    """
    entries = experiment.entries(config)
    listed = {"runs": [entry.name for entry in entries], "seeds": seeds}
    opened = RunFolder(folder / name, f"{run_config(experiment.task, config)}reproduce: {json.dumps({name: listed})}\n")
    # Of a launcher's processes, which all train, the first one writes.
    if is_first_process():
        opened.claim(resume=resume)
    comparison = run_all(
        experiment.task, recipe, config, entries, range(seeds), folder, command=command, executor=executor
    )
    with style(), torch.no_grad():
        finding = experiment.analyse(Study(comparison, config, entries, folder))
        if not is_first_process():
            return finding
        save(finding.picture, folder / name / f"{name}.png", comparison.command)
    said = {"title": experiment.title, "command": comparison.command, "sentences": list(finding.sentences)}
    made = {"recipe": recipe, "seeds": comparison.seeds, "budget": comparison.budget, "device": config.device}
    content = {**said, **made, "environment": comparison.environment, "figures": _rounded(finding.figures)}
    write_atomically(folder / name / f"{name}.json", json.dumps(content, indent=1) + "\n")
    opened.finish({"picture": f"{name}.png", "results": f"{name}.json"})
    return finding


def _rounded(value: Any) -> Any:
    """Return nested figures as JSON takes them: plain numbers of few digits, null for NaN."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if value == value else None
    return value

"""One run, from its config to its finished folder."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from distill import budget, tasks
from distill.config import Config, Optimiser
from distill.errors import CollapsedRunError, NonFiniteLossError
from distill.loop import fit
from distill.processes import Processes
from distill.recipe import to_yaml
from distill.run_folder import RunFolder, is_finished, read_summary
from distill.schedule import Schedule
from stiefel.errors import NonFiniteError


def train(
    task_name: str, config: Config, folder: Path, *, teacher_folder: Path | None = None, resume: bool = False
) -> dict[str, Any]:
    """Train a task in `folder` and return its summary; the teacher is trained in `teacher_folder` if need be.

    A run that is finished already is resumed by returning its summary. With `scale.devices` > 1 this process starts
    the others, which run the same command.
    Raises: RunFolderError before anything is computed if `folder` can't take the run; and what `fit` raises.
    """
    processes = Processes(device=config.device, devices=config.scale.devices, precision=config.precision)
    processes.launch()
    run = RunFolder(folder, run_config(task_name, config))
    with ExitStack() as held:
        if processes.first(lambda: _open(task_name, config, run, held, resume=resume)):
            return processes.first(lambda: read_summary(folder))
        if config.threads:
            torch.set_num_threads(config.threads)
        if processes.is_first:
            held.enter_context(run.keeping_warnings())
        task = tasks.get(task_name).prepare(config, teacher_folder or folder / "teacher", processes)
        spendable = budget.parse(config.budget).settled(task.steps_per_epoch)
        optimiser = _scaled(config.optimiser, config.batch_size)
        schedule = Schedule(spendable.amount, optimiser, config.evaluations, config.scale, spendable.unit, config.seed)
        try:
            return fit(task, schedule, run, processes)
        except (NonFiniteLossError, CollapsedRunError, NonFiniteError) as error:
            if processes.is_first:
                run.give_up(str(error))
            raise


def teach(task_name: str, config: Config, teacher_folder: Path) -> None:
    """Train a run's teacher, and whatever else runs share, in `teacher_folder` if need be; the run itself isn't begun.

    Raises: what `train` raises.
    """
    kind = tasks.get(task_name)
    kind.untaught(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    kind.prepare(config, teacher_folder, Processes(device=config.device, is_alone=True))


def run_config(task_name: str, config: Config) -> str:
    """Return the text of a run's config.yaml: the task and its recipe."""
    return f"task: {task_name}\n{to_yaml(config)}"


def _open(task_name: str, config: Config, run: RunFolder, held: ExitStack, *, resume: bool) -> bool:
    """Make the run's folder ready, locked as long as `held`; return whether it holds the finished run already."""
    run.check(resume=resume)
    if is_finished(run.path):
        return True
    # What only data and models can refuse is refused here, before a folder exists that holds the wrong recipe.
    tasks.get(task_name).untaught(config)
    held.enter_context(run.locked())
    run.open(resume=resume)
    return is_finished(run.path)  # by another process, which held the lock until now


def _scaled(optimiser: Optimiser, batch_size: int) -> Optimiser:
    if not optimiser.lr_batch:
        return optimiser
    return replace(optimiser, lr=optimiser.lr * batch_size / optimiser.lr_batch)

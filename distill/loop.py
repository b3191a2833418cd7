"""The training loop: it knows tasks by their contract alone, never by name."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill import checkpoint
from distill.average import Average
from distill.budget import STEPS
from distill.budget import meter as meters
from distill.errors import CollapsedRunError, InterruptedRunError, NonFiniteLossError
from distill.interrupt import deferred_interrupt
from distill.learner import Learner, split
from distill.processes import Processes
from distill.progress import progress_bar
from distill.run_folder import CERTIFICATE, RunFolder, write_atomically
from distill.schedule import Schedule
from distill.task import Task
from stiefel.certificate import certify
from stiefel.certificate_check import to_json
from stiefel.errors import NonFiniteError


def fit(task: Task, schedule: Schedule, run: RunFolder, processes: Processes) -> dict[str, Any]:
    """Train a task in its open run folder, from its last checkpoint if it has one, and return the summary.

    The run stops after the step that spends its budget. The clock (`train_seconds`, `data_seconds` of them spent on
    waiting for batches) runs for optimiser steps alone; evaluation, checkpoints and logging are off it, are charged
    to no budget and have their own seconds in the summary. Killed at any moment, the run loses at most the steps
    since its last checkpoint and resumes to the same numbers. The last checkpoint gets a certificate. Of several
    processes the first one writes the folder.

    Raises: CheckpointError, NonFiniteLossError, CollapsedRunError; NonFiniteError with the name of a tensor that ends
    with NaN, which can't be certified; InterruptedRunError after Ctrl-C, which lets the step in progress end and
    writes a checkpoint.
    """
    trainer = _Trainer(task, schedule, run, processes)
    trainer.restore()
    drawing = torch.random.fork_rng([processes.device] if processes.device.type == "cuda" else [])
    with drawing, deferred_interrupt() as interrupted, progress_bar(is_shown=processes.is_first) as progress:
        bar = progress.add_task(str(run.path), total=schedule.amount)
        progress.update(bar, completed=trainer.meter.spent)
        while not schedule.is_over(trainer.meter.spent):
            is_stopped = trainer.advance(is_interrupted=interrupted.is_set())
            progress.update(bar, completed=trainer.meter.spent)
            if is_stopped or (interrupted.is_set() and processes.world == 1):
                trainer.save()
                raise InterruptedRunError(run.path, trainer.step)
    return trainer.finish()


class _Trainer:
    """The state of a run between two steps: everything a checkpoint holds."""

    def __init__(self, task: Task, schedule: Schedule, run: RunFolder, processes: Processes):
        self.task, self.schedule, self.run, self.processes = task, schedule, run, processes
        players = task.players()
        self.learners = {
            name: Learner(
                player,
                schedule.optimiser,
                processes,
                undecayed=task.undecayed(),
                probe=self._probe if len(players) == 1 else None,
                compiled=schedule.scale.compile,
            )
            for name, player in players.items()
        }
        scale = schedule.scale
        self.average = Average(task.kept, scale.average, start=scale.average_start) if scale.average else None
        self.meter = meters.build(schedule.unit, task.parts(), processes)
        self.step, self.train_seconds, self.data_seconds = 0, 0.0, 0.0
        self.aside = {"evaluation_seconds": 0.0, "checkpoint_seconds": 0.0, "logging_seconds": 0.0}
        self.last_checkpoint: Path | None = None
        self.figures: dict[str, float] = {}

    def restore(self) -> None:
        found = checkpoint.paths(self.run.path)
        self.last_checkpoint = found[-1] if found else None
        state = self.processes.first(lambda: checkpoint.load(found[-1]) if found else None)
        if state is not None:
            self.task.module.load_state_dict(state["module"])
            for name, learner in self.learners.items():
                learner.optimiser.load_state_dict(state["optimisers"][name])
            self.step, self.figures = state["step"], state["figures"]
            self.train_seconds, self.data_seconds = state["train_seconds"], state["data_seconds"]
            self.meter.load_state_dict(state["meter"])
            self.aside = state["aside"]
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        if self.processes.is_first:
            self.run.forget_after(self.step)

    def advance(self, *, is_interrupted: bool) -> bool:
        """Take one step; evaluate, log and checkpoint where the schedule says so.

        Returns whether Ctrl-C had reached any of the processes: they stop after the same step.
        """
        started, before = time.perf_counter(), self.meter.spent
        parts, is_stopped, exchanged = self._train_step(is_interrupted, started)
        if self.processes.device.type == "cuda":
            torch.cuda.synchronize(self.processes.device)
        self.train_seconds += time.perf_counter() - started
        self.step += 1
        self.meter.charge(self.step, exchanged)
        if self.schedule.is_evaluated(before, self.meter.spent):
            with self._off_the_clock("evaluation_seconds"):
                self.figures = self._evaluate()
            if self.processes.is_first:
                record = {"step": self.step, "train_seconds": round(self.train_seconds, 4)}
                if self.schedule.unit != STEPS:
                    record["spent"] = self.meter.spent
                with self._off_the_clock("logging_seconds"):
                    self.run.log({**record, **parts, **self.figures})
            self.save()
        return is_stopped

    def save(self) -> None:
        charges = self.meter.taken()
        if not self.processes.is_first:
            return
        if charges:
            with self._off_the_clock("logging_seconds"):
                self.run.log_charges(charges)
        with self._off_the_clock("checkpoint_seconds"):
            state = {"step": self.step, "figures": self.figures}
            state |= {"train_seconds": self.train_seconds, "data_seconds": self.data_seconds}
            state |= {"module": self.task.module.state_dict()}
            state |= {"optimisers": {name: each.optimiser.state_dict() for name, each in self.learners.items()}}
            state |= {"meter": self.meter.state_dict(), "aside": dict(self.aside)}
            if self.average is not None:
                state["average"] = self.average.state_dict()
            self.last_checkpoint = checkpoint.save(self.run.path, self.step, state)

    def finish(self) -> dict[str, Any]:
        return self.processes.first(self._finish)

    def _finish(self) -> dict[str, Any]:
        summary = {"steps": self.step, "step_ms": 1e3 * self.train_seconds / self.step}
        seconds = {"train_seconds": self.train_seconds, "data_seconds": self.data_seconds, **self.aside}
        summary |= {name: round(each, 4) for name, each in seconds.items()}
        if self.schedule.unit != STEPS:
            summary |= {"unit": self.schedule.unit, "spent": self.meter.spent}
        metric = self.task.metric
        summary |= {"metric": metric.name, "is_higher_better": metric.is_higher_better, **self.figures}
        assert self.last_checkpoint is not None  # the last step is always evaluated
        certificate = certify(self.last_checkpoint, module=self.task.module)
        write_atomically(self.run.path / CERTIFICATE, to_json(certificate))
        self.run.finish(summary)
        return summary

    def _evaluate(self) -> dict[str, float]:
        is_average_alone = self.average is not None and self.task.is_average_judged
        figures = {} if is_average_alone else self.task.evaluate()
        with self.average.applied() if self.average is not None else nullcontext():
            if self.average is not None:
                prefix = "" if is_average_alone else "average_"
                figures |= {f"{prefix}{name}": value for name, value in self.task.evaluate().items()}
            if self.processes.is_first:
                self.task.depict(self.run.path, self.step)
        return figures

    @contextmanager
    def _off_the_clock(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.aside[name] += time.perf_counter() - started

    def _train_step(self, is_interrupted: bool, started: float) -> tuple[dict[str, float], bool, float]:
        """Take a step; return its losses, whether Ctrl-C had reached a process, and the sum of the meters' readings."""
        for learner in self.learners.values():
            learner.set_rate(self.schedule.factor(self.meter.spent, charge=self.meter.last))
        # Dropout takes no generator: what it draws is a function of seed and step, as batches are.
        key = (self.schedule.seed, self.step, self.processes.rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        self.task.module.train()
        asked = time.perf_counter()
        batch = self.task.batch(self.step)
        self.data_seconds += time.perf_counter() - asked
        losses: dict[str, float] = {}
        is_stopped, exchanged = is_interrupted, 0.0
        with self.meter.watching(batch):
            for name, part in self.task.turns(batch):
                found, is_stopped, exchanged = self._take_turn(name, part, is_interrupted, started)
                losses |= found if len(self.learners) == 1 else _named(found, name)
            if self.average is not None:
                self.average.update()
        ailment = self.task.ailment(losses)
        if ailment is not None:
            raise CollapsedRunError(self.step, ailment.what, self._checkpoint_before(self.step - ailment.steps))
        return losses, is_stopped, exchanged

    def _take_turn(
        self, name: str, batch: dict[str, Tensor], is_interrupted: bool, started: float
    ) -> tuple[dict[str, float], bool, float]:
        """Update one player; return what `_train_step` does."""
        learner = self.learners[name]
        try:
            totals = learner.backward(batch, self.schedule.scale.accumulate)
        except (NonFiniteError, torch.linalg.LinAlgError) as error:  # pyright: ignore[reportPrivateImportUsage]
            # After a step that overflowed, a parameterisation refuses its weights before there is a loss.
            raise self._non_finite({"loss": math.nan}) from error
        # One exchange a turn: every process sees the same losses, the same wish to stop and the same clock, and does
        # the same.
        reading = self.meter.reading(self.train_seconds + time.perf_counter() - started)
        own = torch.tensor([float(is_interrupted), reading], device=self.processes.device)
        values = self.processes.mean(torch.cat([torch.stack(list(totals.values())), own])).tolist()
        losses = dict(zip(totals, values[:-2], strict=True))
        if not math.isfinite(losses["loss"]):
            raise self._non_finite(losses)
        learner.update()
        return losses, values[-2] > 0, values[-1] * self.processes.world

    def _probe(self) -> Tensor:
        part, *_ = split(self.task.batch(0), self.schedule.scale.accumulate, self.processes.device)
        return self.task.module(part)["loss"]

    def _non_finite(self, parts: dict[str, float]) -> NonFiniteLossError:
        return NonFiniteLossError(self.step, parts, self.task.indices(self.step), self.last_checkpoint)

    def _checkpoint_before(self, step: int) -> Path | None:
        found = [path for path in checkpoint.paths(self.run.path) if checkpoint.step_of(path) <= step]
        return found[-1] if found else None


def _named(losses: dict[str, float], player: str) -> dict[str, float]:
    """Return one of several players' losses with its "loss" named after it."""
    return {f"{player}_loss" if name == "loss" else name: value for name, value in losses.items()}

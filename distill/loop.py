"""The training loop: it knows tasks by their contract alone, never by name."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import stiefel
from distill import checkpoint
from distill.average import Average
from distill.errors import InterruptedRunError, NonFiniteLossError
from distill.interrupt import deferred_interrupt
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

    The clock (`train_seconds`) runs for optimiser steps alone; evaluation and checkpoints are off it. Killed at
    any moment, the run loses at most the steps since its last checkpoint and resumes to the same numbers. The last
    checkpoint gets a certificate. Of several processes the first one writes the folder.

    Raises: CheckpointError, NonFiniteLossError; NonFiniteError with the name of a tensor that ends with NaN, which
    can't be certified; InterruptedRunError after Ctrl-C, which lets the step in progress end and writes a checkpoint.
    """
    trainer = _Trainer(task, schedule, run, processes)
    trainer.restore()
    with deferred_interrupt() as interrupted, progress_bar(is_shown=processes.is_first) as progress:
        bar = progress.add_task(str(run.path), total=schedule.steps, completed=trainer.step)
        while trainer.step < schedule.steps:
            is_stopped = trainer.advance(is_interrupted=interrupted.is_set())
            progress.update(bar, completed=trainer.step)
            if is_stopped or (interrupted.is_set() and processes.world == 1):
                trainer.save()
                raise InterruptedRunError(run.path, trainer.step)
    return trainer.finish()


class _Trainer:
    """The state of a run between two steps: everything a checkpoint holds."""

    def __init__(self, task: Task, schedule: Schedule, run: RunFolder, processes: Processes):
        self.task, self.schedule, self.run, self.processes = task, schedule, run, processes
        optimiser = schedule.optimiser
        built = stiefel.optim.build(
            task.module,
            optimiser.name,
            lr=optimiser.lr,
            weight_decay=optimiser.weight_decay,
            undecayed=task.undecayed(),
        )
        self.peaks = [group["lr"] for group in built.param_groups]
        self.module, self.optimiser = processes.setup(task.module, built, self._probe, compiled=schedule.scale.compile)
        self.average = Average(task.kept, schedule.scale.average) if schedule.scale.average else None
        self.step, self.train_seconds = 0, 0.0
        self.last_checkpoint: Path | None = None
        self.figures: dict[str, float] = {}

    def restore(self) -> None:
        found = checkpoint.paths(self.run.path)
        self.last_checkpoint = found[-1] if found else None
        state = self.processes.first(lambda: checkpoint.load(found[-1]) if found else None)
        if state is not None:
            self.task.module.load_state_dict(state["module"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.train_seconds, self.figures = state["step"], state["train_seconds"], state["figures"]
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        if self.processes.is_first:
            self.run.forget_after(self.step)

    def advance(self, *, is_interrupted: bool) -> bool:
        """Take one step; evaluate, log and checkpoint where the schedule says so.

        Returns whether Ctrl-C had reached any of the processes: they stop after the same step.
        """
        started = time.perf_counter()
        parts, is_stopped = self._train_step(is_interrupted)
        if self.processes.device.type == "cuda":
            torch.cuda.synchronize(self.processes.device)
        self.train_seconds += time.perf_counter() - started
        self.step += 1
        if self.schedule.is_evaluated(self.step):
            self.figures = self._evaluate()
            if self.processes.is_first:
                record = {"step": self.step, "train_seconds": round(self.train_seconds, 4)}
                self.run.log({**record, **parts, **self.figures})
            self.save()
        return is_stopped

    def save(self) -> None:
        if not self.processes.is_first:
            return
        state = {"step": self.step, "train_seconds": self.train_seconds, "figures": self.figures}
        state |= {"module": self.task.module.state_dict(), "optimiser": self.optimiser.state_dict()}
        if self.average is not None:
            state["average"] = self.average.state_dict()
        self.last_checkpoint = checkpoint.save(self.run.path, self.step, state)

    def finish(self) -> dict[str, Any]:
        return self.processes.first(self._finish)

    def _finish(self) -> dict[str, Any]:
        seconds = round(self.train_seconds, 4)
        summary = {"steps": self.step, "train_seconds": seconds, "step_ms": 1e3 * self.train_seconds / self.step}
        summary |= {"metric": self.task.metric, **self.figures}
        assert self.last_checkpoint is not None  # the last step is always evaluated
        certificate = certify(self.last_checkpoint, module=self.task.module)
        write_atomically(self.run.path / CERTIFICATE, to_json(certificate))
        self.run.finish(summary)
        return summary

    def _evaluate(self) -> dict[str, float]:
        figures = self.task.evaluate()
        if self.average is not None:
            with self.average.applied():
                figures |= {f"average_{name}": value for name, value in self.task.evaluate().items()}
        return figures

    def _train_step(self, is_interrupted: bool) -> tuple[dict[str, float], bool]:
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * self.schedule.factor(self.step)
        self.task.module.train()
        self.optimiser.zero_grad()
        totals = self._forward_backward()
        names = list(totals)
        # One exchange a step: every process sees the same losses and the same wish to stop, and does the same.
        flag = torch.tensor(float(is_interrupted), device=self.processes.device)
        values = self.processes.mean(torch.stack([*totals.values(), flag])).tolist()
        parts = dict(zip(names, values[:-1], strict=True))
        if not math.isfinite(parts["loss"]):
            raise self._non_finite(parts)
        if self.schedule.optimiser.clip_norm > 0:
            self.processes.clip(self.module, self.optimiser, self.schedule.optimiser.clip_norm)
        self.optimiser.step()
        if self.average is not None:
            self.average.update()
        return parts, values[-1] > 0

    def _forward_backward(self) -> dict[str, Tensor]:
        """Add up the gradients of the step's parts; return the mean losses."""
        count = self.schedule.scale.accumulate
        totals: dict[str, Tensor] = {}
        for index, part in enumerate(_split(self.task.batch(self.step), count, self.processes.device)):
            try:
                with self.processes.gathering(self.module, is_last=index == count - 1):
                    losses = self.module(part)
                    self.processes.backward(losses["loss"] / count)
            except (NonFiniteError, torch.linalg.LinAlgError) as error:  # pyright: ignore[reportPrivateImportUsage]
                # After a step that overflowed, a parameterisation refuses its weights before there is a loss.
                raise self._non_finite({"loss": math.nan}) from error
            for name, value in losses.items():
                totals[name] = totals.get(name, 0) + value.detach().float() / count
        return totals

    def _probe(self) -> Tensor:
        part, *_ = _split(self.task.batch(0), self.schedule.scale.accumulate, self.processes.device)
        return self.task.module(part)["loss"]

    def _non_finite(self, parts: dict[str, float]) -> NonFiniteLossError:
        return NonFiniteLossError(self.step, parts, self.task.indices(self.step), self.last_checkpoint)


def _split(batch: dict[str, Tensor], count: int, device: torch.device) -> list[dict[str, Tensor]]:
    parts = {name: value.to(device, non_blocking=True).chunk(count) for name, value in batch.items()}
    return [{name: chunks[index] for name, chunks in parts.items()} for index in range(count)]

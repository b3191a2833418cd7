"""The training loop: it knows tasks by their contract alone, never by name."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

import stiefel
from distill import checkpoint
from distill.config import Optimiser
from distill.errors import InterruptedRunError, NonFiniteLossError
from distill.progress import progress_bar
from distill.run_folder import CERTIFICATE, RunFolder, write_atomically
from distill.task import Task
from stiefel.certificate import certify
from stiefel.certificate_check import to_json
from stiefel.errors import NonFiniteError

# The cosine schedule ends at this share of its peak (DeiT's 5e-6 under 5e-4).
_FINAL_SHARE = 0.01


@dataclass(frozen=True)
class Schedule:
    """How long and how a run trains. It is evaluated and checkpointed `evaluations` times, lastly at its end."""

    steps: int
    optimiser: Optimiser
    evaluations: int = 20
    precision: str = "float32"

    def factor(self, step: int) -> float:
        """Return a step's share of the peak learning rate: linear warm-up, then a cosine down to a hundredth."""
        warmup = math.ceil(self.optimiser.warmup * self.steps)
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, self.steps - warmup)
        return _FINAL_SHARE + (1 - _FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2

    def is_evaluated(self, step: int) -> bool:
        """Whether the run is evaluated after `step` steps."""
        every = max(1, self.steps // self.evaluations)
        return step == self.steps or (step % every == 0 and self.steps - step >= every)


def fit(task: Task, schedule: Schedule, run: RunFolder) -> dict[str, Any]:
    """Train a task in its open run folder, from its last checkpoint if it has one, and return the summary.

    The clock (`train_seconds`) runs for optimiser steps alone; evaluation and checkpoints are off it. Killed at
    any moment, the run loses at most the steps since its last checkpoint and resumes to the same numbers. The last
    checkpoint gets a certificate.

    Raises: CheckpointError, NonFiniteLossError; NonFiniteError with the name of a tensor that ends with NaN, which
    can't be certified; InterruptedRunError after Ctrl-C, which lets the step in progress end and writes a checkpoint.
    """
    optimiser = stiefel.optim.build(
        task.module, schedule.optimiser.name, lr=schedule.optimiser.lr, weight_decay=schedule.optimiser.weight_decay
    )
    trainer = _Trainer(task, schedule, run, optimiser)
    trainer.restore()
    with _deferred_interrupt() as interrupted, progress_bar() as progress:
        bar = progress.add_task(str(run.path), total=schedule.steps, completed=trainer.step)
        while trainer.step < schedule.steps:
            trainer.advance()
            progress.update(bar, completed=trainer.step)
            if interrupted.is_set():
                trainer.save()
                raise InterruptedRunError(run.path, trainer.step)
    return trainer.finish()


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, so that no optimiser step is torn apart; the second one stops at once."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # Python delivers signals to the main thread alone
        return

    def note(signum: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


class _Trainer:
    """The state of a run between two steps: everything a checkpoint holds."""

    def __init__(self, task: Task, schedule: Schedule, run: RunFolder, optimiser: torch.optim.Optimizer):
        self.task, self.schedule, self.run, self.optimiser = task, schedule, run, optimiser
        self.device = next(task.module.parameters()).device
        self.peaks = [group["lr"] for group in optimiser.param_groups]
        self.step, self.train_seconds = 0, 0.0
        self.last_checkpoint: Path | None = None
        self.figures: dict[str, float] = {}

    def restore(self) -> None:
        found = checkpoint.paths(self.run.path)
        if found:
            self.last_checkpoint = found[-1]
            state = checkpoint.load(found[-1])
            self.task.module.load_state_dict(state["module"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.train_seconds, self.figures = state["step"], state["train_seconds"], state["figures"]
        self.run.forget_after(self.step)

    def advance(self) -> None:
        """Take one step; evaluate, log and checkpoint where the schedule says so."""
        started = time.perf_counter()
        parts = self._train_step()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.train_seconds += time.perf_counter() - started
        self.step += 1
        if self.schedule.is_evaluated(self.step):
            self.figures = self.task.evaluate()
            self.run.log({"step": self.step, "train_seconds": round(self.train_seconds, 4), **parts, **self.figures})
            self.save()

    def save(self) -> None:
        state = {"step": self.step, "train_seconds": self.train_seconds, "figures": self.figures}
        state |= {"module": self.task.module.state_dict(), "optimiser": self.optimiser.state_dict()}
        self.last_checkpoint = checkpoint.save(self.run.path, self.step, state)

    def finish(self) -> dict[str, Any]:
        seconds = round(self.train_seconds, 4)
        summary = {"steps": self.step, "train_seconds": seconds, "step_ms": 1e3 * self.train_seconds / self.step}
        summary |= {"metric": self.task.metric, **self.figures}
        assert self.last_checkpoint is not None  # the last step is always evaluated
        certificate = certify(self.last_checkpoint, module=self.task.module)
        write_atomically(self.run.path / CERTIFICATE, to_json(certificate))
        self.run.finish(summary)
        return summary

    def _train_step(self) -> dict[str, float]:
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * self.schedule.factor(self.step)
        self.task.module.train()
        self.optimiser.zero_grad()
        is_mixed = self.schedule.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_mixed):
            losses = self._losses()
        losses["loss"].backward()
        if self.schedule.optimiser.clip_norm > 0:
            nn.utils.clip_grad_norm_(self.task.module.parameters(), self.schedule.optimiser.clip_norm)
        self.optimiser.step()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _losses(self) -> dict[str, Tensor]:
        try:
            losses = self.task.module(self.task.batch(self.step))
        except (NonFiniteError, torch.linalg.LinAlgError) as error:  # pyright: ignore[reportPrivateImportUsage]
            # After a step that overflowed, a parameterisation refuses its weights before there is a loss.
            raise NonFiniteLossError(self.step, {"loss": math.nan}, self.last_checkpoint) from error
        if not bool(losses["loss"].isfinite()):
            parts = {name: float(value.detach()) for name, value in losses.items()}
            raise NonFiniteLossError(self.step, parts, self.last_checkpoint)
        return losses

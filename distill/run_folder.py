"""A run is a folder: config.yaml, metrics.jsonl, checkpoints/, certificate.json, summary.json, environment.json.

A run whose budget isn't in steps has charges.jsonl too: a line for each run of steps that were charged alike. One whose
loss is no longer finite, or whose game has collapsed, leaves the reason in diverged.txt.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from distill import lock
from distill.environment import environment
from distill.errors import RunFolderError

CONFIG, METRICS, SUMMARY, ENVIRONMENT = "config.yaml", "metrics.jsonl", "summary.json", "environment.json"
CERTIFICATE, CHARGES, WARNINGS = "certificate.json", "charges.jsonl", "warnings.log"
DIVERGED = "diverged.txt"


def is_finished(path: Path) -> bool:
    """Whether `path` holds a finished run."""
    return (path / SUMMARY).exists()


def has_diverged(path: Path) -> bool:
    """Whether the run in `path` ended because there was nothing left to train."""
    return (path / DIVERGED).exists()


def is_empty(path: Path) -> bool:
    """Whether a path is a folder without files; dot files are what a kill amid `write_atomically` leaves behind."""
    return path.is_dir() and all(entry.name.startswith(".") for entry in path.iterdir())


def run_of(source: Path) -> Path:
    """Return the run folder that a path names: itself, or that of one of its checkpoints.

    Raises: RunFolderError if it is neither.
    """
    run = source if source.is_dir() else source.resolve().parent.parent
    if not (run / CONFIG).exists():
        raise RunFolderError(source, "is no run", "give a run folder, or one of its checkpoints")
    return run


def create(folder: Path) -> None:
    """Create a folder, if need be with those that it lies in.

    Raises: RunFolderError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(folder, f"can't be created ({error.strerror})", "choose another folder") from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file so that, whenever the machine stops, the old or the new content is there whole.

    Raises: RunFolderError where it can't be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with _writing(path):
        with open(temporary, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class RunFolder:
    """One run on disk. `config` is the text of its config.yaml."""

    def __init__(self, path: Path, config: str):
        self.path, self.config = path, config

    @property
    def is_started(self) -> bool:
        """Whether a run was begun here."""
        return (self.path / CONFIG).exists()

    def check(self, *, resume: bool) -> None:
        """Check, changing nothing, that a run may start here, or with `resume` go on or be found finished.

        Raises: RunFolderError if the folder holds a run and `resume` is off, a run of another recipe, or files
        that are no run's; or if it can't be looked into.
        """
        try:
            self._check(resume=resume)
        except OSError as error:
            raise RunFolderError(self.path, f"can't be read ({error.strerror})", "choose another folder") from error

    def open(self, *, resume: bool) -> None:
        """Make the folder ready to train in.

        Raises: RunFolderError as `check` does, and if the folder can't be created.
        """
        self.check(resume=resume)
        create(self.path)
        # The recipe comes first: a run killed right here has one, and can be resumed.
        write_atomically(self.path / CONFIG, self.config)
        write_atomically(self.path / ENVIRONMENT, json.dumps(environment(), indent=2) + "\n")
        (self.path / DIVERGED).unlink(missing_ok=True)

    def claim(self, *, resume: bool) -> None:
        """Open the folder while every other process is kept out, so that of two that begin at once one is refused.

        Raises: RunFolderError as `open` and `locked` do.
        """
        self.check(resume=resume)  # what it finds is said at once, and not after a wait for the lock
        with self.locked():
            self.open(resume=resume)

    @contextmanager
    def locked(self, *, patience: float = lock.PATIENCE_SECONDS) -> Iterator[None]:
        """Keep every other process out of the folder, which is created if need be; wait up to `patience` seconds.

        Raises: RunFolderError if another process writes it, or it can't be created.
        """
        create(self.path)
        with lock.locked(self.path, patience=patience):
            yield

    def check_same_config(self) -> None:
        """Raise RunFolderError unless the folder's run has this very recipe."""
        before = (self.path / CONFIG).read_text(encoding="utf-8").splitlines()
        now = self.config.splitlines()
        if before != now:
            pairs = zip_longest(before, now, fillvalue="nothing")
            changed = next(f"'{old.strip()}', now '{new.strip()}'" for old, new in pairs if old != new)
            cure = "give the same recipe and flags, or choose another folder"
            raise RunFolderError(self.path, f"holds a run of another recipe ({changed})", cure)

    def log(self, record: dict[str, Any]) -> None:
        """Append one record to metrics.jsonl, on the disk before the checkpoint that follows it."""
        _append(self.path / METRICS, [record])

    def log_charges(self, charges: Sequence[Sequence[float]]) -> None:
        """Append runs of equal charges, [first step, last step, charge of each], before the checkpoint of the last."""
        _append(self.path / CHARGES, charges)

    def records(self) -> list[dict[str, Any]]:
        """Return the records of metrics.jsonl; a line that a killed run left half-written is no record."""
        return read_records(self.path)

    def forget_after(self, step: int) -> None:
        """Cut metrics.jsonl and charges.jsonl back to the lines up to `step`, where a resumed run takes up."""
        kept = [json.dumps(record) + "\n" for record in self.records() if record["step"] <= step]
        write_atomically(self.path / METRICS, "".join(kept))
        if (self.path / CHARGES).exists():
            charges = [json.dumps(charge) + "\n" for charge in read_charges(self.path) if charge[1] <= step]
            write_atomically(self.path / CHARGES, "".join(charges))

    @contextmanager
    def keeping_warnings(self) -> Iterator[None]:
        """Append what `distill` warns of, such as broken images, to warnings.log; without a warning there is none."""
        handler = logging.FileHandler(self.path / WARNINGS, encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger = logging.getLogger("distill")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            handler.close()

    def finish(self, summary: dict[str, Any]) -> None:
        """Write summary.json, which marks the run as finished."""
        write_atomically(self.path / SUMMARY, json.dumps(summary, indent=2) + "\n")

    def give_up(self, reason: str) -> None:
        """Write diverged.txt, which marks the run as one that would fail again."""
        write_atomically(self.path / DIVERGED, f"{reason}\n")

    def _check(self, *, resume: bool) -> None:
        if self.is_started:
            if not resume:
                state = "a finished" if is_finished(self.path) else "an unfinished"
                verb = "read" if is_finished(self.path) else "continue"
                cure = f"add --resume to {verb} it or choose another folder"
                raise RunFolderError(self.path, f"already holds {state} run", cure)
            self.check_same_config()
        elif self.path.exists() and not is_empty(self.path):
            raise RunFolderError(self.path, "holds something that is no run", "choose another folder")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a run folder's metrics.jsonl, whole lines only."""
    return _lines(path / METRICS)


def read_charges(path: Path) -> list[list[float]]:
    """Return what a run folder's steps were charged, as runs of [first step, last step, charge of each].

    Empty where the budget is one of steps, each of which is charged 1.
    """
    return _lines(path / CHARGES)


def read_summary(path: Path) -> dict[str, Any]:
    """Return the summary of a finished run.

    Raises: RunFolderError if there is none.
    """
    if not is_finished(path):
        raise RunFolderError(path, "holds no finished run", "train one there first, or resume it with --resume")
    return json.loads((path / SUMMARY).read_text(encoding="utf-8"))


def _append(path: Path, lines: Sequence[Any]) -> None:
    with _writing(path), open(path, "a", encoding="utf-8") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the system refuses, such as a full disk, into one sentence."""
    try:
        yield
    except OSError as error:
        cure = "make room or mend its permissions; what was trained goes on with --resume"
        raise RunFolderError(path, f"can't be written ({error.strerror})", cure) from error


def _lines(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

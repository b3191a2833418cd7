"""Errors of `distill`: each takes the facts, keeps them as attributes and writes its own sentence."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

# Of a batch's indices, as many as a line of a terminal or two hold.
_SHOWN = 32


class DistillError(ValueError):
    """Base of every error that a wrong input raises here: expected, got, what to do."""


class WidthError(DistillError):
    """Features or layers whose widths don't fit."""

    def __init__(self, what: str, expected: str, got: Iterable[int]):
        self.what, self.expected, self.got = what, expected, tuple(got)
        super().__init__(f"{what}: expected {expected}, got {self.got}; set the widths of your own features")


class ModelError(DistillError):
    """A model that can't be built or doesn't do what is asked of it, or weights that don't fit it."""

    def __init__(self, name: str, reason: str, *, cure: str):
        self.name, self.reason = name, reason
        super().__init__(f"can't use model '{name}': {reason}; {cure}")

    @classmethod
    def no_weights(cls, name: str, error: Exception) -> "ModelError":
        """Return the error for published weights that can't be had."""
        reason = f"its pretrained files can't be had ({(str(error) or type(error).__name__).splitlines()[0]})"
        return cls(name, reason, cure="connect to the network once, or give weights that are on this machine")

    @classmethod
    def refused(cls, name: str, error: Exception) -> "ModelError":
        """Return the error for a model whose library, or whose first pass over an image, refuses what is asked."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return cls(name, reason, cure="give another image size, or another image classification model")

    @classmethod
    def no_pooled_head(cls, name: str) -> "ModelError":
        """Return the error for a head that reads something else than pooled features."""
        cure = "take a teacher that pools its last features, as convolutional ones and Swin do"
        return cls(name, "its head doesn't read pooled features, so it can't classify a student's", cure=cure)

    @classmethod
    def no_map(cls, name: str, shape: Iterable[int]) -> "ModelError":
        """Return the error for an output that is no spatial map."""
        reason = f"expected features by place, (batch, tokens, dim) or a map, got shape {tuple(shape)}"
        return cls(name, reason, cure="name a layer that keeps the places")


class WhiteningError(DistillError):
    """A whitening that is ill posed."""


class RecipeError(DistillError):
    """A recipe key with a wrong name, type or value, or a recipe file that can't be read."""

    def __init__(self, key: str, expected: str, got: object, *, cure: str = "change it in the recipe or by its flag"):
        self.key, self.expected, self.got = key, expected, got
        super().__init__(f"recipe key '{key}': expected {expected}, got {got!r}; {cure}")

    def found_in(self, file: str | Path) -> "RecipeError":
        """Return the same error for a value that stands in a file."""
        return RecipeError(self.key, self.expected, self.got, cure=f"change it in {file} or by its flag")


class DataError(DistillError):
    """Data on disk that isn't what its data set promises."""

    def __init__(self, where: str | Path, expected: str, got: str, *, cure: str):
        self.where, self.expected, self.got = str(where), expected, got
        super().__init__(f"data in {where}: expected {expected}, got {got}; {cure}")


class WorkerError(DistillError):
    """A process that decodes images and died."""

    def __init__(self, reason: str):
        self.reason = reason
        cure = "most often memory ran out: lower data.workers or data.batch_size and go on with --resume"
        super().__init__(f"expected every data worker to live, got '{reason}'; {cure}")


class RecipeFileError(DistillError):
    """A recipe that can't be found or isn't a YAML mapping."""

    def __init__(self, recipe: str | Path, reason: str, *, cure: str):
        self.recipe, self.reason = str(recipe), reason
        super().__init__(f"can't use recipe '{recipe}': {reason}; {cure}")


class BudgetError(DistillError):
    """A budget that can't be parsed."""

    def __init__(self, text: str):
        self.text = text
        units = "steps:N, epochs:N, flops:X, wall:TIME, v100:TIME or 2xv100:TIME"
        values = "a whole N >= 1, an X such as 1e15, a TIME such as 90s, 10m or 1.5h"
        super().__init__(f"expected a budget {units} with {values}, got {text!r}; write e.g. steps:600")


class StepMemoryError(DistillError):
    """A step that a device has too little memory for."""

    def __init__(self, device: str, available: float, needed: float):
        self.device, self.available, self.needed = device, available, needed
        super().__init__(
            f"expected a step that fits the {available / 1e9:.3g} GB of a {device}, got one that holds "
            f"{needed / 1e9:.3g} GB; lower data.batch_size, raise scale.accumulate, set scale.checkpointing, "
            "or give a budget in another unit"
        )


class RunFolderError(DistillError):
    """A run folder in a state that doesn't fit the command."""

    def __init__(self, folder: Path, state: str, cure: str):
        self.folder, self.state = folder, state
        super().__init__(f"{folder} {state}; {cure}")


class CheckpointError(DistillError):
    """A checkpoint that can't be read, or isn't of this run."""

    def __init__(self, path: Path, reason: str, *, previous: Path | None):
        self.path, self.reason, self.previous = path, reason, previous
        cure = f"delete it to continue from {previous.name}" if previous else "start the run again in a new folder"
        super().__init__(f"can't load checkpoint {path}: {reason}; {cure}")


class CacheError(DistillError):
    """A cache of a teacher's features that can't be written or doesn't hold what is asked."""

    def __init__(self, folder: Path, reason: str):
        self.folder, self.reason = folder, reason
        super().__init__(f"can't use the teacher's cache {folder}: {reason}; delete it, or set teacher.cache elsewhere")


class NonFiniteLossError(DistillError):
    """A loss that became NaN or infinite."""

    def __init__(self, step: int, parts: dict[str, float], indices: list[int], checkpoint: Path | None):
        self.step, self.parts, self.indices, self.checkpoint = step, parts, indices, checkpoint
        listed = ", ".join(f"{name} {value:g}" for name, value in parts.items())
        shown = ", ".join(map(str, indices[:_SHOWN])) + (
            f" and {more} more" if (more := len(indices) - _SHOWN) > 0 else ""
        )
        last = f"the last good checkpoint is {checkpoint}" if checkpoint else "there is no checkpoint yet"
        super().__init__(
            f"expected a finite loss, got {listed} at step {step}, on training examples {shown}; {last}; "
            "lower optimiser.lr, or look at these examples"
        )


class CollapsedRunError(DistillError):
    """A run that goes on with finite losses and can't recover."""

    def __init__(self, step: int, what: str, checkpoint: Path | None):
        self.step, self.what, self.checkpoint = step, what, checkpoint
        last = f"the last good checkpoint is {checkpoint}" if checkpoint else "there is no good checkpoint left"
        super().__init__(
            f"expected a game that goes on, got {what} at step {step}; {last}; "
            "lower optimiser.lr, or augment what the discriminator sees"
        )


class InterruptedRunError(DistillError):
    """A run that the user stopped; it can be resumed."""

    def __init__(self, folder: Path, step: int | None = None):
        self.folder, self.step = folder, step
        where = "" if step is None else f" at step {step}"
        super().__init__(f"interrupted{where}; the same command with --resume continues {folder}")


class MetricError(DistillError):
    """Samples that a metric can't judge."""

    def __init__(self, expected: str, got: object):
        self.expected, self.got = expected, got
        super().__init__(f"expected {expected}, got {got}; raise metrics.samples or take more real images")


class JobsError(DistillError):
    """Runs of a comparison that failed, each with its reason, by their folders; all others are finished."""

    def __init__(self, reasons: Mapping[Path, str], *, done: int, total: int):
        self.reasons, self.done, self.total = dict(reasons), done, total
        listed = "".join(f"\n  {folder}: {reason}" for folder, reason in self.reasons.items())
        cure = "mend what is said below and go on with --resume"
        super().__init__(f"expected {total} finished runs, got {done}; {cure}{listed}")


class ExecutorError(DistillError):
    """An executor that can't run what it is given."""

    def __init__(self, executor: str, expected: str, got: str, *, cure: str):
        self.executor, self.expected, self.got = executor, expected, got
        super().__init__(f"--executor {executor}: expected {expected}, got {got}; {cure}")


class PendingRunsError(DistillError):
    """Runs that take place after the command that asked for them: no mistake of anyone's.

    running: folders that a process works in. missing: those of the other unfinished runs.
    """

    def __init__(self, running: Sequence[Path], missing: Sequence[Path], *, total: int, state: str):
        self.running, self.missing, self.total = list(running), list(missing), total
        done = total - len(self.running) - len(self.missing)
        listed = "".join(f"\n  running: {folder}" for folder in self.running)
        listed += "".join(f"\n  missing: {folder}" for folder in self.missing)
        super().__init__(f"{done} of {total} runs and teachers are finished{listed}\n{state}")

"""Checkpoints that survive a kill at any moment: whole files, hashed, the last two kept."""

import hashlib
import io
import re
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import nn

from distill.errors import CheckpointError
from distill.run_folder import create, write_atomically

_KEPT = 2
_DIGEST_BYTES = 32
_LONGEST_REASON = 160


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `checkpoints/step-N.pt` whole or not at all, and drop all but the last two. Return its path.

    The file is a SHA-256 digest followed by what `torch.save` writes, so that a truncated file or a flipped bit
    is found before anything is loaded.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / "checkpoints" / f"step-{step:08d}.pt"
    create(path.parent)
    write_atomically(path, hashlib.sha256(content).digest() + content)
    for old in paths(folder)[:-_KEPT]:
        old.unlink()
    return path


def load(path: Path) -> dict[str, Any]:
    """Return the state that `save` wrote, its tensors on the CPU; no code in the file is ever executed.

    Raises: CheckpointError if a single bit of it changed, naming the checkpoint before it.
    """
    content = path.read_bytes()
    digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        found = paths(path.parents[1])
        earlier = found[: found.index(path)] if path in found else []
        raise CheckpointError(path, "its content doesn't match its hash", previous=earlier[-1] if earlier else None)
    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")


def load_average(module: nn.Module, state: dict[str, Any]) -> None:
    """Put the moving average of a checkpoint's state into the module that is kept."""
    module.load_state_dict(state["average"]["averages"], strict=False)  # it has no integer buffers


def paths(folder: Path) -> list[Path]:
    """Return the checkpoints of a run folder, oldest first."""
    found = (folder / "checkpoints").glob("step-*.pt")
    return sorted((path for path in found if re.fullmatch(r"step-\d{8,}\.pt", path.name)), key=step_of)


def step_of(path: Path) -> int:
    """Return the step that a checkpoint was written after."""
    return int(path.stem.removeprefix("step-"))


def load_weights(module: nn.Module, source: Path) -> dict[str, Any]:
    """Load a checkpoint's weights, of a run folder the last one's, into `module`, and return its whole state.

    Raises: CheckpointError if there is none, it is damaged, or it holds another module's weights.
    """
    found = paths(source) if source.is_dir() else [source]
    if not found or not found[-1].is_file():
        raise CheckpointError(source, "there is none", previous=None)
    try:
        state = load(found[-1])
        module.load_state_dict(state["module"])
    except RuntimeError as error:
        reason = shorten(str(error), _LONGEST_REASON)  # torch lists every key that doesn't fit
        raise CheckpointError(found[-1], f"it doesn't fit this recipe ({reason})", previous=None) from error
    return state

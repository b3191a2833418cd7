"""Checkpoints are whole or refused, with the one before on offer."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from distill import checkpoint
from distill.errors import CheckpointError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


def test_what_is_saved_is_loaded_bit_for_bit(folder: Path) -> None:
    module = nn.Linear(3, 2)
    path = checkpoint.save(folder, 7, {"step": 7, "module": module.state_dict()})
    state = checkpoint.load(path)
    assert state["step"] == 7
    assert torch.equal(state["module"]["weight"], module.weight)


def test_the_last_two_are_kept(folder: Path) -> None:
    for step in (1, 20, 99_999_999, 100_000_000):
        checkpoint.save(folder, step, {"step": step})
    assert [checkpoint.load(path)["step"] for path in checkpoint.paths(folder)] == [99_999_999, 100_000_000]


def test_a_half_written_file_of_a_killed_run_is_no_checkpoint(folder: Path) -> None:
    kept = checkpoint.save(folder, 1, {"step": 1})
    (folder / "checkpoints" / ".step-00000002.pt.tmp").write_bytes(b"half")
    assert checkpoint.paths(folder) == [kept]


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped bit", "text"])
def test_a_damaged_checkpoint_is_refused_and_the_one_before_offered(damage: str, folder: Path) -> None:
    checkpoint.save(folder, 1, {"step": 1, "module": {"weight": torch.ones(9)}})
    path = checkpoint.save(folder, 2, {"step": 2, "module": {"weight": torch.ones(9)}})
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes({"empty": b"", "truncated": content[:-9], "flipped bit": flipped, "text": b"hello"}[damage])
    with pytest.raises(CheckpointError, match=r"step-00000002\.pt.*delete it to continue from step-00000001\.pt"):
        checkpoint.load(path)


def test_the_only_checkpoint_damaged_says_to_start_again(folder: Path) -> None:
    path = checkpoint.save(folder, 1, {"step": 1})
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="start the run again in a new folder"):
        checkpoint.load(path)


class Payload:
    """What an attacker would pickle: unpickling it touches a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_code_in_a_checkpoint_is_executed(folder: Path) -> None:
    path = checkpoint.save(folder, 1, {"step": Payload(folder / "executed")})
    with pytest.raises((CheckpointError, pickle.UnpicklingError)):
        checkpoint.load(path)
    assert not (folder / "executed").exists()


def test_weights_of_another_shape_are_refused_in_one_sentence(folder: Path) -> None:
    checkpoint.save(folder, 1, {"module": nn.Linear(3, 2).state_dict()})
    with pytest.raises(CheckpointError, match="doesn't fit this recipe") as caught:
        checkpoint.load_weights(nn.Linear(4, 2), folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_checkpoints_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="there is none"):
        checkpoint.load_weights(nn.Linear(4, 2), folder)

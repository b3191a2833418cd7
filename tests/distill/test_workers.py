"""Worker processes read ahead, end with their run, and say so when they die."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from image_folders import make_folder
from PIL import Image
from torch.utils.data import get_worker_info

from distill import data
from distill.config import Data
from distill.data import transforms
from distill.errors import WorkerError

SIZE = 16


def keys(root: Path, **others: object) -> Data:
    return replace(Data(name="folder", path=str(root), image_size=SIZE, workers=0, augment="none"), **others)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("folder"))


def test_a_sequential_reader_keeps_its_workers_and_reads_ahead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    loader = torch.utils.data.DataLoader.__iter__

    def counted(self: torch.utils.data.DataLoader) -> object:
        starts.append(1)
        return loader(self)

    monkeypatch.setattr(torch.utils.data.DataLoader, "__iter__", counted)
    config = keys(folder, workers=1)
    batches = data.load(config)[0].batches(4, 0, config)
    for step in range(12):  # three epochs
        batches[step]
    assert len(starts) == 1
    batches[5]
    assert len(starts) == 2


def kill_the_worker(image: Image.Image) -> Image.Image:
    if get_worker_info() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return image.resize((SIZE, SIZE))


def test_a_worker_that_dies_is_a_clear_error_where_a_batch_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transforms, "training", lambda data, size: kill_the_worker)
    config = keys(folder, workers=1)
    before = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(WorkerError, match=r"expected every data worker to live.*--resume"):
        data.load(config)[0].batches(4, 0, config)[0]
    assert signal.getsignal(signal.SIGCHLD) is before


_SPAWNED = """
import multiprocessing, sys
from distill import data
from distill.config import Data

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    config = Data(name="folder", path=sys.argv[1], image_size=16, workers=1, augment="three_augment")
    print(float(data.load(config)[0].batches(4, 0, config)[0]["pixels"].double().sum()))
"""


# Python 3.14 no longer forks: a worker then starts bare, with torchvision's import still to be mended.
def test_workers_that_inherit_nothing_read_the_same(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "spawned.py").write_text(_SPAWNED)
    command = [sys.executable, str(tmp_path / "spawned.py"), str(folder)]
    path = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    printed = subprocess.run(command, capture_output=True, text=True, timeout=120, env=path)
    assert printed.returncode == 0, printed.stderr
    config = keys(folder, augment="three_augment")
    assert float(printed.stdout) == float(data.load(config)[0].batches(4, 0, config)[0]["pixels"].double().sum())


_READ_FOREVER = """
import sys, os, itertools, signal
# A shell starts background jobs, and so whole test runs, with Ctrl-C ignored, which Python leaves as it is.
signal.signal(signal.SIGINT, signal.default_int_handler)
from distill import data
from distill.config import Data
config = Data(name="folder", path=sys.argv[1], image_size=16, workers=2, augment="none")
batches = data.load(config)[0].batches(4, 0, config)
for step in itertools.count():
    batches[step]
    if step == 3:
        print(*(process.pid for process in __import__("multiprocessing").active_children()), flush=True)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_run_and_print_nothing(sent: signal.Signals, folder: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", _READ_FOREVER, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    workers = [int(pid) for pid in run.stdout.readline().split()]
    assert len(workers) == 2
    if sent == signal.SIGINT:
        os.killpg(run.pid, sent)  # as a terminal does: to every process of the group
    else:
        run.kill()
    try:
        _, errors = run.communicate(timeout=60)
    finally:
        run.kill()
    assert "Process" not in errors, "a worker printed a traceback of its own"
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "a worker outlived its run"
        time.sleep(0.1)

"""What this machine has room for: how many runs side by side, and which cores and GPUs each of them sees."""

import os
import sys
from collections.abc import Mapping

import torch

from distill import budget
from distill.budget.budget import WALL
from distill.config import Config

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_THREADS = "OMP_NUM_THREADS"


def room(config: Config) -> int:
    """Return how many runs of a recipe fit side by side, each with cores or GPUs of its own.

    One at a time where the clock is the budget: neighbours share caches and memory, and slow each other.
    """
    if budget.parse(config.budget).unit == WALL:
        return 1
    kind, _, index = config.device.partition(":")
    if kind == "cuda":
        return 1 if index else max(1, len(_gpus()) // config.scale.devices)
    cores = _cores()
    return max(1, cores // ((config.threads or cores) * config.scale.devices))


def environments(count: int, config: Config) -> list[Mapping[str, str]]:
    """Return the environments of `count` workers: of GPUs each sees its share, in turn where they are too few."""
    # A worker finds what this process finds, `module:Class` included, however this process was started.
    found = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    shared = os.environ | {"PYTHONPATH": found, "PYTHONSAFEPATH": "1"}
    if not config.threads:
        shared.setdefault(_THREADS, str(max(1, _cores() // (count * config.scale.devices))))
    if config.device != "cuda":
        return [shared] * count
    gpus, devices = _gpus(), config.scale.devices
    shares = [gpus[first : first + devices] for first in range(0, len(gpus) - devices + 1, devices)] or [gpus]
    return [shared | {_VISIBLE: ",".join(shares[number % len(shares)])} for number in range(count)]


def _cores() -> int:
    # Those that this process may use: fewer than the machine's in a container or under taskset. macOS can't say.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _gpus() -> list[str]:
    visible = os.environ.get(_VISIBLE)
    if visible is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    return [name.strip() for name in visible.split(",") if name.strip()]

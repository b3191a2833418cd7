"""What this machine has room for: how many runs side by side, and which cores and GPUs each of them sees."""

import os
import sys
from collections.abc import Mapping, Sequence

import torch

from distill import budget
from distill.budget.budget import WALL
from distill.config import Config

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_THREADS = "OMP_NUM_THREADS"


def room(configs: Sequence[Config]) -> int:
    """Return how many runs of any of the recipes fit side by side, each with cores or GPUs of its own.

    One at a time where the clock is a budget: neighbours share caches and memory, and slow each other.
    """
    return min(map(_room, configs))


def environments(count: int, configs: Sequence[Config]) -> list[Mapping[str, str]]:
    """Return the environments of `count` workers, each of which may get a run of any of the recipes.

    Of GPUs each worker sees its share, in turn where they are too few.
    """
    # A worker finds what this process finds, `module:Class` included, however this process was started.
    found = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    shared = os.environ | {"PYTHONPATH": found, "PYTHONSAFEPATH": "1"}
    devices = max(config.scale.devices for config in configs)
    if not all(config.threads for config in configs):
        shared.setdefault(_THREADS, str(max(1, _cores() // (count * devices))))
    if not any(config.device == "cuda" for config in configs):
        return [shared] * count
    gpus = _gpus()
    shares = [gpus[first : first + devices] for first in range(0, len(gpus) - devices + 1, devices)] or [gpus]
    return [shared | {_VISIBLE: ",".join(shares[number % len(shares)])} for number in range(count)]


def _room(config: Config) -> int:
    if budget.parse(config.budget).unit == WALL:
        return 1
    kind, _, index = config.device.partition(":")
    if kind == "cuda":
        return 1 if index else max(1, len(_gpus()) // config.scale.devices)
    cores = _cores()
    return max(1, cores // ((config.threads or cores) * config.scale.devices))


def _cores() -> int:
    # Those that this process may use: fewer than the machine's in a container or under taskset. macOS can't say.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _gpus() -> list[str]:
    visible = os.environ.get(_VISIBLE)
    if visible is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    return [name.strip() for name in visible.split(",") if name.strip()]

"""How a step's time and memory are measured, and how results are written."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch.profiler import profile

from distill.environment import environment

Step = Callable[[], object]
Key = TypeVar("Key")
# Of each step, within its time: short beside what disturbs a machine. Five runs at 192 × 192 on two cores that six
# other processes wanted: a multiple of the product spread by up to 253% one after another, by 76% in turn.
TURNS = 10


def times_ms(steps: Mapping[Key, Step], *, seconds: float, device: str) -> dict[Key, list[float]]:
    """Return the times of every step, about `seconds` of each: at least one, and the one alone if it takes longer.

    The steps take turns, so what else the machine does meets all of them, and the ratios of their medians last.
    """
    times: dict[Key, list[float]] = {key: [] for key in steps}
    for _ in range(TURNS):
        for key, step in steps.items():
            if not times[key] or sum(times[key]) < seconds * 1e3:
                times[key] += _turn_ms(step, seconds / TURNS, device)
    return times


def peak_bytes(step: Step, *, device: str) -> int:
    """Return the most memory that a step holds at once beyond what is allocated before it, its results included.

    Counts every tensor, those inside torch's kernels too: on the CPU by the profiler's record of the allocator, on
    CUDA by the allocator's own peak. What LAPACK and BLAS allocate for themselves (MKL packs panels of a product,
    independent of n) is invisible to both.
    """
    step()  # What the first call leaves behind (state, handles) isn't part of a step.
    return _peak_on_cuda(step) if device == "cuda" else _peak_on_cpu(step)


def write(path: Path, results: dict[str, object]) -> None:
    """Write results as JSON, with the environment that they were measured in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"environment": environment(), **results}, indent=1, ensure_ascii=False) + "\n")


def _turn_ms(step: Step, seconds: float, device: str) -> list[float]:
    """Time a step for `seconds`. The first one finds cold caches, so it counts only if it fills the turn."""
    deadline = time.perf_counter() + seconds
    first = _time_ms(step, device)
    if time.perf_counter() > deadline:
        return [first]
    times = [_time_ms(step, device)]
    while time.perf_counter() < deadline:
        times.append(_time_ms(step, device))
    return times


def _time_ms(step: Step, device: str) -> float:
    before = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - before) * 1e3


def _peak_on_cuda(step: Step) -> int:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _peak_on_cpu(step: Step) -> int:
    # Kineto prints a line to standard error at each start and stop unless told not to before its first use.
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")
    with profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    with tempfile.TemporaryDirectory() as folder:
        # The exported trace is the one public record of single allocations: `prof.events()` has sums by operation.
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    held = most = 0
    for event in sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most

"""How long a traced step takes on a device: for each operator max(flops / rate, bytes / bandwidth) + launch."""

from collections import Counter
from dataclasses import dataclass
from math import ceil

from distill.budget.sheet import ENTRYWISE, FACTORISATIONS, PRODUCT, SPECIAL, VIEW, Sheet
from distill.budget.trace import OPTIMISER, Operation, Trace
from distill.errors import StepMemoryError

# Below this many multiplications a matrix, ATen's CPU loop takes the place of BLAS.
_TINY = 400


@dataclass(frozen=True)
class Cost:
    """What all calls of one operation take together."""

    operation: Operation
    calls: int
    seconds: float


def step_seconds(trace: Trace, sheet: Sheet) -> float:
    """Return how long the step takes on the device.

    Raises: StepMemoryError.
    """
    if trace.peak_bytes > sheet.memory:
        raise StepMemoryError(sheet.name, sheet.memory, trace.peak_bytes)
    return sum(cost.seconds for cost in costs(trace, sheet))


def costs(trace: Trace, sheet: Sheet) -> list[Cost]:
    """Return every operation's cost, the dearest first."""
    alike = Counter()
    for operation, calls in trace.operations.items():
        alike[operation.name] += calls if _is_fused(operation) else 0
    found = []
    for operation, calls in trace.operations.items():
        together = min(sheet.fused, alike[operation.name]) if _is_fused(operation) else 1
        launch = sheet.view_s if operation.kind == VIEW else sheet.launch_s / together
        seconds = calls * sheet.cold * (work_seconds(operation, sheet) + launch)
        found.append(Cost(operation, calls, seconds))
    return sorted(found, key=lambda cost: -cost.seconds)


def work_seconds(operation: Operation, sheet: Sheet) -> float:
    """Return how long one call takes beside its launch."""
    if operation.kind in FACTORISATIONS:
        return _factorisation_seconds(operation, sheet)
    bandwidth = sheet.cache_bandwidth if operation.bytes <= sheet.cache else sheet.bandwidth
    seconds = operation.bytes / bandwidth
    if operation.flops:
        seconds = max(seconds, operation.flops / _rate(operation, sheet))
    return max(seconds, operation.entries / sheet.special) if operation.kind == SPECIAL else seconds


def _rate(operation: Operation, sheet: Sheet) -> float:
    rate = sheet.rate.get(operation.dtype, sheet.rate["float32"]) * sheet.efficiency.get(operation.kind, 1.0)
    if operation.kind not in sheet.half:
        return rate
    batch, m, n, k = operation.sizes
    if operation.kind == PRODUCT and m * n * k < _TINY:
        return min(rate, sheet.tiny)
    # A small product has fewer tiles than the device has units to work on them; a long one is split along k too.
    tiles = batch * ceil(m / sheet.tile) * ceil(n / sheet.tile) * ceil(k / (4 * sheet.tile))
    least = min(m, n, k)
    return rate * min(1.0, tiles / sheet.units) * least / (least + sheet.half[operation.kind])


def _factorisation_seconds(operation: Operation, sheet: Sheet) -> float:
    """Return batch · (p · column_s + flops / rate), where as many matrices as there are units go side by side."""
    batch, p = operation.sizes
    each = sheet.factorisations[operation.kind]
    return ceil(batch / sheet.units) * p * each.column_s + operation.flops / each.rate


def _is_fused(operation: Operation) -> bool:
    return operation.part == OPTIMISER and operation.kind in (ENTRYWISE, SPECIAL)

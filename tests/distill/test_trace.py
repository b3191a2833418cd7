"""A trace counts what can be counted by hand, and a prediction is what the sheet says by hand."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import stiefel
from benchmarks.measure import peak_bytes
from distill.budget import model
from distill.budget.sheet import FACTORISATIONS, V100, Factorisation, Sheet
from distill.budget.trace import _FACTORISATIONS, Operation, Trace
from distill.errors import StepMemoryError
from distill.models.deit import DeiT

FLOAT = 4


def traced(step: Callable[[], object], parts: dict[str, list[nn.Module]] | None = None) -> Trace:
    with Trace(parts or {}) as trace:
        step()
    return trace


def only(trace: Trace, name: str) -> Operation:
    (found,) = [operation for operation in trace.operations if operation.name == name]
    return found


def test_a_product_has_two_flops_a_multiplication_and_reads_both_factors() -> None:
    left, right = torch.ones(3, 5), torch.ones(5, 7)
    product = only(traced(lambda: left @ right), "mm")
    assert product.flops == 2 * 3 * 5 * 7
    assert product.bytes == FLOAT * (3 * 5 + 5 * 7 + 3 * 7)
    assert product.sizes == (1, 3, 7, 5)


@pytest.mark.parametrize(
    ("step", "flops"),
    [
        (lambda a: a[0].addmm_(a[1], a[2]), 2 * 6**3),
        (lambda a: a.baddbmm_(a.clone(), a.clone()), 4 * 2 * 6**3),
        (lambda a: a @ a, 4 * 2 * 6**3),
        (lambda a: a[0] @ a[1, 0], 2 * 6**2),
    ],
)
def test_products_in_place_and_in_batches_count_alike(step: Callable[[Tensor], object], flops: int) -> None:
    assert traced(lambda: step(torch.ones(4, 6, 6))).flops == flops


def test_a_convolution_counts_every_tap_of_every_place() -> None:
    image, kernel = torch.ones(2, 3, 8, 8), torch.ones(5, 3, 3, 3)
    trace = traced(lambda: functional.conv2d(image, kernel, padding=1))
    assert trace.flops == 2 * (2 * 8 * 8) * 5 * (3 * 3 * 3)
    assert only(trace, "convolution").bytes == FLOAT * (2 * 3 * 64 + 5 * 27 + 2 * 5 * 64)


def test_attention_is_two_products_forward_and_five_backward() -> None:
    query, key, value = (torch.ones(2, 3, 10, 8, requires_grad=True) for _ in range(3))
    one = 2 * (2 * 3) * 10 * 10 * 8

    def step() -> None:
        functional.scaled_dot_product_attention(query, key, value).sum().backward()

    assert traced(step).flops == (2 + 5) * one


def test_bytes_of_an_entrywise_operator_are_what_it_reads_and_writes() -> None:
    wide, row = torch.ones(6, 4), torch.ones(4)
    assert only(traced(lambda: wide + row), "add").bytes == FLOAT * (24 + 4 + 24)
    assert only(traced(lambda: wide.add_(1)), "add").bytes == FLOAT * (24 + 24)
    # An expanded row is read no further than it reaches in memory.
    assert only(traced(lambda: wide * row.expand(6, 4)), "mul").bytes == FLOAT * (24 + 4 + 24)


def test_views_and_allocations_cost_no_bytes() -> None:
    trace = traced(lambda: torch.empty(8, 8).T[2:].reshape(-1).detach())
    assert all(operation.bytes == 0 for operation in trace.operations if operation.kind == "view")
    assert {operation.kind for operation in trace.operations} <= {"view", "special"}  # the reshape copies


def test_the_peak_is_what_is_alive_at_once() -> None:
    start = torch.ones(1000)

    def step() -> Tensor:
        result = start
        for _ in range(10):
            result = result + 1  # each frees the one before
        return result

    assert traced(step).peak_bytes == FLOAT * 1000 * 3

    def hoard() -> list[Tensor]:
        return [start + 1 for _ in range(10)]

    assert traced(hoard).peak_bytes == FLOAT * 1000 * 11


def test_the_peak_of_a_whole_step_is_what_the_profiler_sees() -> None:
    network = DeiT(image_size=8, channels=1, classes=10, width=16, depth=2, heads=2, patch=2)
    pixels = torch.ones(4, 1, 8, 8)

    def step() -> object:
        loss = network(pixels).logits.square().mean()
        return torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)

    step()
    before = FLOAT * (sum(parameter.numel() for parameter in network.parameters()) + pixels.numel())
    assert traced(step).peak_bytes - before == peak_bytes(step, device="cpu")


def test_a_step_is_split_by_part_backward_with_forward() -> None:
    student, projector, teacher = nn.Linear(4, 8), nn.Linear(8, 16), nn.Linear(4, 16)
    parts: dict[str, list[nn.Module]] = {"student": [student], "teacher": [teacher], "projector": [projector]}
    optimiser = torch.optim.SGD([*student.parameters(), *projector.parameters()], lr=0.1)
    batch = torch.ones(3, 4)

    def step() -> None:
        with torch.no_grad():
            target = teacher(batch)
        functional.mse_loss(projector(student(batch)), target).backward()
        optimiser.step()

    flops = dict.fromkeys((*parts, "optimiser", "other"), 0)
    trace = traced(step, parts)
    for operation, count in trace.operations.items():
        flops[operation.part] += count * operation.flops
    unit = 2 * 3
    assert flops["teacher"] == unit * 4 * 16
    assert flops["student"] == 2 * unit * 4 * 8  # forward, and the weight's gradient: the batch needs none
    assert flops["projector"] == 3 * unit * 8 * 16
    assert flops["other"] == flops["optimiser"] == 0
    assert any(operation.part == "optimiser" for operation in trace.operations)


@pytest.mark.parametrize("by", stiefel.names())
def test_every_map_s_factorisations_are_known_to_the_model(by: str) -> None:
    layer = stiefel.attach(nn.Linear(6, 12, bias=False), "weight", by=by)
    trace = traced(lambda: layer.weight.sum().backward())
    assert model.step_seconds(trace, V100) > 0
    unknown = [each.name for each in trace.operations if "linalg" in each.name and each.kind == "entrywise"]
    assert set(unknown) <= {"linalg_vector_norm"}


def test_every_sheet_knows_every_factorisation() -> None:
    assert set(V100.factorisations) == set(FACTORISATIONS) == set(_FACTORISATIONS.values())


SHEET = Sheet(
    name="toy",
    source="by hand",
    rate={"float32": 1000.0, "float16": 4000.0},
    efficiency={"product": 0.5},
    half={"product": 0.0},
    tile=4,
    units=2,
    tiny=100.0,
    bandwidth=10.0,
    cache_bandwidth=40.0,
    cache=100,
    special=2.0,
    launch_s=0.25,
    view_s=0.125,
    cold=1.0,
    fused=1,
    memory=1e6,
    factorisations={"cholesky": Factorisation(2.0, 50.0)},
)


def operation(kind: str, *, flops: int = 0, bytes: int = 0, entries: int = 0, sizes: tuple[int, ...] = ()) -> Operation:
    return Operation("each", "student", kind, "float32", flops, bytes, entries, sizes)


@pytest.mark.parametrize(
    ("each", "seconds"),
    [
        (operation("entrywise", bytes=400), 400 / 10),
        (operation("entrywise", bytes=80), 80 / 40),
        (operation("special", bytes=80, entries=100), 100 / 2),
        (operation("product", flops=10_000, bytes=80, sizes=(2, 8, 8, 8)), 10_000 / 500),
        (operation("product", flops=10_000, bytes=4000, sizes=(2, 8, 8, 8)), 4000 / 10),
        # One tile of 4 × 4, but long enough to be split along k for both units.
        (operation("product", flops=10_000, bytes=80, sizes=(1, 4, 4, 26)), 10_000 / 500),
        (operation("product", flops=10_000, bytes=80, sizes=(7, 2, 2, 2)), 10_000 / 100),
        (operation("cholesky", flops=100, bytes=80, sizes=(1, 6)), 6 * 2.0 + 100 / 50),
        (operation("cholesky", flops=300, bytes=80, sizes=(3, 6)), 2 * 6 * 2.0 + 300 / 50),
        (operation("view"), 0.0),
    ],
)
def test_an_operator_takes_the_longer_of_its_flops_and_its_bytes(each: Operation, seconds: float) -> None:
    assert model.work_seconds(each, SHEET) == pytest.approx(seconds, rel=1e-12)


def test_a_small_product_leaves_units_idle_and_a_thin_one_is_slow() -> None:
    one_tile = operation("product", flops=10_000, sizes=(1, 8, 8, 32))
    assert model.work_seconds(one_tile, replace(SHEET, tile=8, units=4)) == 10_000 / (500 / 4)
    thin = operation("product", flops=10_000, sizes=(1, 64, 64, 12))
    assert model.work_seconds(thin, replace(SHEET, half={"product": 4.0})) == 10_000 / (500 * 12 / 16)


def test_every_call_is_launched_and_the_optimiser_s_together() -> None:
    trace = Trace({})
    trace.operations.update({operation("entrywise", bytes=80): 3, operation("view"): 2})
    assert model.step_seconds(trace, SHEET) == 3 * (2 + 0.25) + 2 * 0.125
    assert model.step_seconds(trace, replace(SHEET, cold=1.5)) == 1.5 * model.step_seconds(trace, SHEET)
    trace = Trace({})
    trace.operations[replace(operation("entrywise", bytes=80), part="optimiser")] = 8
    assert model.step_seconds(trace, replace(SHEET, fused=4)) == 8 * 2 + 2 * 0.25


def test_a_step_that_holds_more_than_the_memory_is_refused() -> None:
    trace = Trace({})
    trace.peak_bytes = 2 * 10**6
    with pytest.raises(StepMemoryError, match=r"fits the 0.001 GB of a toy, got one that holds 0.002 GB"):
        model.step_seconds(trace, SHEET)

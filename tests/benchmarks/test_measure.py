"""The memory that a step is said to take is the memory that it takes, and times come from every step in turn."""

import time

import pytest
import torch

from benchmarks.measure import peak_bytes, times_ms

MEGABYTE = 2**20  # Entries of float32 in what follows: 4 MiB each.


@pytest.mark.parametrize("count", [1, 3])
def test_tensors_held_together_add_up(count: int) -> None:
    assert peak_bytes(lambda: [torch.ones(MEGABYTE) for _ in range(count)], device="cpu") == count * 4 * MEGABYTE


def test_a_tensor_that_is_freed_makes_room_for_the_next() -> None:
    def step() -> None:
        for _ in range(3):
            torch.ones(MEGABYTE)

    assert peak_bytes(step, device="cpu") == 4 * MEGABYTE


def test_what_was_there_before_the_step_is_not_counted() -> None:
    there = torch.ones(MEGABYTE)
    assert peak_bytes(lambda: there.neg_(), device="cpu") == 0


def test_what_a_kernel_allocates_for_itself_is_counted() -> None:
    # `logsumexp` returns one number a row, and makes a matrix inside.
    matrix = torch.ones(1024, 1024)
    assert peak_bytes(lambda: torch.logsumexp(matrix, dim=1), device="cpu") >= 4 * MEGABYTE


def test_the_backward_pass_is_counted() -> None:
    leaf = torch.ones(MEGABYTE, requires_grad=True)
    # exp keeps its result for the backward pass, which makes a gradient of it and one of the sum (expanded: no memory).
    assert peak_bytes(lambda: torch.autograd.grad(leaf.exp().sum(), leaf), device="cpu") == pytest.approx(
        2 * 4 * MEGABYTE, rel=1e-4
    )


def test_steps_take_turns_and_a_slow_one_is_taken_once() -> None:
    calls: list[str] = []

    def slow() -> None:
        calls.append("slow")
        time.sleep(0.05)

    times = times_ms({"quick": lambda: calls.append("quick"), "slow": slow}, seconds=0.02, device="cpu")
    assert calls.count("slow") == len(times["slow"]) == 1
    assert times["slow"][0] >= 50
    assert "quick" in calls[: calls.index("slow")]
    assert "quick" in calls[calls.index("slow") :]


def test_every_step_is_taken_even_in_no_time() -> None:
    times = times_ms({n: lambda: None for n in range(3)}, seconds=0.0, device="cpu")
    assert all(times.values())

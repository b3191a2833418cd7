"""Forward and backward through the weight: every map of ours beside its peers, measured in one run.

    python -m benchmarks.speed --shape 3024x192 --out benchmarks/results/speed-cpu.json

Times are medians, and are given in multiples of one n·p·p matrix product. It and all entries are taken in turn in the
same run, because ratios survive a noisy machine where milliseconds don't.
"""

import argparse
import re
import statistics
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import stiefel
from benchmarks.measure import Step, times_ms, write
from benchmarks.peers import Maker, ours, peers
from stiefel import console
from stiefel.linalg import add_product, add_product_

DEFAULT_SHAPES = ("3024x192", "768x192", "192x192")
# torch's default map, what the released VkD code runs (a row of its own because the goal is stated against it).
REFERENCE = "torch orthogonal (default map)"
UNIT = "matrix product"
# What a map at an arbitrary base pays before any p × p work: four products forward, five backward, each where it stands
# in `stiefel.parameterisations.cayley`, on operands as cold and into memory as fresh as there.
FLOOR = "the nine products of a map"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return console.run("benchmarks.speed", lambda: _main(argv), (stiefel.StiefelError, ValueError, OSError))


def _main(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="python -m benchmarks.speed", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shape", nargs="+", type=_shape, default=[_shape(text) for text in DEFAULT_SHAPES])
    parser.add_argument("--seconds", type=float, default=2.0, help="time spent on each entry (at least one step)")
    parser.add_argument("--no-peers", action="store_true", help="measure our maps alone")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args(argv)
    makers: dict[str, Maker] = {name: ours(name) for name in stiefel.names()}
    if not arguments.no_peers:
        makers |= peers()
    results = []
    for shape in arguments.shape:
        rows = measure(shape, makers, seconds=arguments.seconds, device=arguments.device)
        _print(shape, rows)
        results.append({"shape": list(shape), "rows": rows})
    if arguments.out:
        write(arguments.out, {"device": arguments.device, "results": results})
    return 0


def measure(
    shape: Sequence[int], makers: dict[str, Maker], *, seconds: float, device: str
) -> dict[str, dict[str, float]]:
    """Return for each entry `step_ms` (median), `products` (multiples of one n·p·p product) and `steps` timed.

    The first row, "matrix product", is that unit, the second what nine of them take; entries run in float32, in turn.
    """
    generator = torch.Generator().manual_seed(0)
    point = stiefel.random_point(*shape, generator=generator).to(device)
    upstream = torch.randn(*shape, generator=generator).to(device)
    square = torch.randn(*shape[:-2], shape[-1], shape[-1], generator=generator).to(device)
    steps: dict[str, Step] = {UNIT: lambda: point @ square, FLOOR: lambda: _nine_products(point, upstream, square)}
    steps |= {name: make(point, upstream) for name, make in makers.items()}
    with warnings.catch_warnings():
        # A peer may warn (torch's LU solve of a wide system does); its figure stands all the same.
        warnings.simplefilter("ignore")
        times = times_ms(steps, seconds=seconds, device=device)
    medians = {name: statistics.median(each) for name, each in times.items()}
    return {
        name: {"step_ms": median, "products": median / medians[UNIT], "steps": len(times[name])}
        for name, median in medians.items()
    }


def _nine_products(point: Tensor, upstream: Tensor, square: Tensor) -> Tensor:
    _ = point.mT @ upstream
    moved = add_product(upstream, point, square)
    _ = moved.mT @ moved
    result = moved @ square
    across = upstream @ square.mT
    _ = point.mT @ across
    _ = result.mT @ across
    return add_product_(add_product_(across, moved, square), point, square)


def _print(shape: Sequence[int], rows: dict[str, dict[str, float]]) -> None:
    title = f"{'x'.join(map(str, shape))} float32, forward + backward"
    table = Table("entry", "ms", "matrix products", "quicker than torch's default", title=title, title_justify="left")
    reference = rows.get(REFERENCE, {}).get("step_ms")
    for name, row in rows.items():
        ratio = f"{reference / row['step_ms']:.3g}x" if reference and name != REFERENCE else ""
        table.add_row(name, f"{row['step_ms']:.2f}", f"{row['products']:.1f}", ratio)
    Console().print(table)


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)+", text):
        raise argparse.ArgumentTypeError(f"expected a shape such as 3024x192 or 1024x32x16, got {text!r}")
    return tuple(int(size) for size in text.split("x"))


if __name__ == "__main__":
    sys.exit(main())

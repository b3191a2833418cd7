"""How time and memory of every map grow with n at a fixed p: both should be linear in n·p.

    python -m benchmarks.growth --out benchmarks/results/growth-cpu.json

A step is a forward and backward pass through the weight, or the optimiser's step of a map that has one (see
`benchmarks.peers.ours`). The exponents are fitted from n = 8000 on, where the n-sized products dominate. Below, the
dispatch of some sixty small operations and the p × p work do: they don't grow with n, and would flatter the fit.
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import stiefel
from benchmarks.measure import Step, peak_bytes, times_ms, write
from benchmarks.peers import ours
from stiefel import console

SIZES = (1024, 2048, 4096, 8192, 12000, 16384, 23000, 30000)
FIT_FROM = 8000
# Its n³ is known, and one 30000 × 30000 matrix takes 3.4 GiB: at no size would the figures be of use.
LEFT_OUT = ("dense_exponential",)
GOAL_TIME_EXPONENT = 1.1
GOAL_MEMORY_EXPONENT = 1.05
# At 30000 × 50, which geotorch can't train: its n × n base alone takes 3.4 GiB (lezcano/geotorch issue 30).
GOAL_STEP_MS = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return console.run("benchmarks.growth", lambda: _main(argv), (stiefel.StiefelError, ValueError, OSError))


def grow(name: str, sizes: Sequence[int], p: int, *, fit_from: int, seconds: float, device: str) -> dict[str, Any]:
    """Return a map's `rows` by n, and the exponents of n that its time and memory follow from `fit_from` on.

    A row has `n`, `step_ms` (median), `peak_mib` (beyond the inputs, results included) and `bytes_per_entry`: that
    peak over n·p, so 4 is one float32 copy of the weight.
    """
    steps = {n: _step(name, n, p, device) for n in sorted(sizes)}
    peaks = {n: peak_bytes(step, device=device) for n, step in steps.items()}
    times = times_ms(steps, seconds=seconds, device=device)
    rows = [
        {
            "n": n,
            "step_ms": statistics.median(times[n]),
            "peak_mib": peaks[n] / 2**20,
            "bytes_per_entry": peaks[n] / (n * p),
        }
        for n in steps
    ]
    fitted = [row for row in rows if row["n"] >= fit_from]
    return {
        "time_exponent": exponent(fitted, "step_ms"),
        "memory_exponent": exponent(fitted, "peak_mib"),
        "rows": rows,
    }


def exponent(rows: Sequence[dict[str, float]], figure: str) -> float:
    """Return k of the least-squares fit figure = c·n^k, in logarithms."""
    slope, _ = np.polyfit(np.log([row["n"] for row in rows]), np.log([row[figure] for row in rows]), deg=1)
    return float(slope)


def judged(results: dict[str, Any]) -> list[list[str]]:
    """Return the table of the results, its header first; **figures** miss their goal, which the header states."""
    largest = max(row["n"] for growth in results["maps"].values() for row in growth["rows"])
    header = [
        "map",
        f"exponent of time (<= {GOAL_TIME_EXPONENT})",
        f"exponent of memory (<= {GOAL_MEMORY_EXPONENT})",
        "bytes per entry of the weight",
        "peak MiB",
        f"ms at n = {largest} (<= {GOAL_STEP_MS})",
    ]
    table = [header]
    for name, growth in results["maps"].items():
        last = growth["rows"][-1]
        table.append(
            [
                name,
                _goal(growth["time_exponent"], GOAL_TIME_EXPONENT, ".2f"),
                _goal(growth["memory_exponent"], GOAL_MEMORY_EXPONENT, ".3f"),
                f"{last['bytes_per_entry']:.1f}",
                f"{last['peak_mib']:.1f}",
                _goal(last["step_ms"], GOAL_STEP_MS, ".1f"),
            ]
        )
    return table


def _main(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="python -m benchmarks.growth", description=(__doc__ or "").split("\n")[0])
    default = [name for name in stiefel.names() if name not in LEFT_OUT]
    parser.add_argument("--map", nargs="+", default=default, help="default: every map but " + ", ".join(LEFT_OUT))
    parser.add_argument("--n", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--p", type=int, default=50)
    parser.add_argument(
        "--fit-from", type=int, default=FIT_FROM, help="the smallest n that the exponents are fitted to"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="time spent on each figure (at least one step)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args(argv)
    if sum(n >= arguments.fit_from for n in set(arguments.n)) < 2:
        raise console.UsageError(
            f"a fit takes two sizes n >= {arguments.fit_from}, got {arguments.n}; add some with --n"
        )
    maps = {
        name: grow(
            name,
            arguments.n,
            arguments.p,
            fit_from=arguments.fit_from,
            seconds=arguments.seconds,
            device=arguments.device,
        )
        for name in arguments.map
    }
    results = {"device": arguments.device, "p": arguments.p, "fit_from": arguments.fit_from, "maps": maps}
    header, *rows = judged(results)
    table = Table(*header, title=f"p = {arguments.p}, float32; ** misses its goal **", title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if arguments.out:
        write(arguments.out, results)
    return 0


def _step(name: str, n: int, p: int, device: str) -> Step:
    generator = torch.Generator().manual_seed(0)
    point = stiefel.random_point(n, p, generator=generator).to(device)
    return ours(name)(point, torch.randn(n, p, generator=generator).to(device))


def _goal(figure: float, most: float, form: str) -> str:
    return f"{figure:{form}}" if figure <= most else f"**{figure:{form}}**"


if __name__ == "__main__":
    sys.exit(main())

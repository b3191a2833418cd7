"""What the projectors add to a training step of VkD, by map, beside torch's `orthogonal`.

    python -m benchmarks.overhead classification --out benchmarks/results/overhead-cpu.json
    python -m benchmarks.overhead detection --threads 1 --out benchmarks/results/overhead-detection-cpu.json

The projectors' own time is measured, a forward and backward pass of their weights and the products with the batch's
features, and set against the rest of the step in the same run: the student's forward and backward pass and its
optimiser's step, and the frozen teacher's forward pass. Subtracting a step with from a step without would drown 10 ms
in the noise of seconds.
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import stiefel
from benchmarks import overhead_steps
from benchmarks.measure import times_ms, write
from benchmarks.overhead_steps import STUDENT, TEACHER
from distill.errors import DistillError
from stiefel import console

GOAL = 0.01


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return console.run("benchmarks.overhead", lambda: _main(argv), (stiefel.StiefelError, DistillError, OSError))


def measure(steps: overhead_steps.Steps, *, seconds: float, device: str) -> dict[str, dict[str, float]]:
    """Return for each part `step_ms` (median), `of_student` and `of_step`: its share of the step without projectors.

    `of_step` counts student and teacher, `of_student` the student alone, as where the teacher's features are cached.
    """
    times = {name: statistics.median(each) for name, each in times_ms(steps, seconds=seconds, device=device).items()}
    whole = times[STUDENT] + times[TEACHER]
    return {
        name: {"step_ms": time, "of_student": time / times[STUDENT], "of_step": time / whole}
        for name, time in times.items()
    }


def _main(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="python -m benchmarks.overhead", description=(__doc__ or "").split("\n")[0])
    trivialised = [name for name in stiefel.names() if stiefel.get(name).claims.optimiser != "riemannian"]
    parser.add_argument("task", choices=overhead_steps.TASKS)
    parser.add_argument("--map", nargs="+", default=trivialised, help="default: every trivialised map")
    parser.add_argument("--batch", type=int, help="images; default: 8 to classify, 2 to detect")
    parser.add_argument("--image-size", type=int, help="pixels; default: 224 to classify, 512 to detect")
    parser.add_argument("--student", help="default: deit_ti, vidt_nano")
    parser.add_argument("--teacher", help="its weights are random here; default: timm:regnety_160, vidt_base")
    parser.add_argument("--seconds", type=float, default=20.0, help="time spent on each part (at least one step)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    steps, settings = overhead_steps.build(
        arguments.task,
        names=arguments.map,
        device=arguments.device,
        batch=arguments.batch,
        image_size=arguments.image_size,
        student=arguments.student,
        teacher=arguments.teacher,
    )
    rows = measure(steps, seconds=arguments.seconds, device=arguments.device)
    sizes = f"batch {settings['batch']}, {settings['image_size']} px, {arguments.device}"
    title = f"{settings['student']} from {settings['teacher']}, {sizes}; goal <= {GOAL:.0%}"
    table = Table("part", "ms", "of the student's step", "of the whole step", title=title, title_justify="left")
    for name, row in rows.items():
        table.add_row(name, f"{row['step_ms']:.1f}", f"{row['of_student']:.2%}", f"{row['of_step']:.2%}")
    Console().print(table)
    if arguments.out:
        write(arguments.out, {"device": arguments.device, **settings, "goal": GOAL, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())

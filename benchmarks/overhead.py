"""What the projector adds to a DeiT-Ti training step of VkD, by map, beside torch's `orthogonal`.

    python -m benchmarks.overhead --batch 8 --out benchmarks/results/overhead-cpu.json

The projector's own time is measured, a forward and backward pass of its weight (3024 × 192) and the product with the
batch's features, and set against the rest of the step in the same run: the student's forward and backward pass and its
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
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

import stiefel
from benchmarks.measure import Step, times_ms, write
from distill import models
from distill.errors import DistillError
from distill.projector import Projector
from distill.task import seeded
from stiefel import console

STUDENT, TEACHER = "student (forward, backward, AdamW)", "teacher (forward)"
TORCH = "torch orthogonal (default map)"
PLAIN = "linear, unconstrained"
GOAL = 0.01


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return console.run("benchmarks.overhead", lambda: _main(argv), (stiefel.StiefelError, DistillError, OSError))


def measure(
    *, batch: int, image_size: int, teacher: str, names: Sequence[str], seconds: float, device: str
) -> dict[str, dict[str, float]]:
    """Return for each part `step_ms` (median), `of_student` and `of_step`: its share of the step without projector.

    `of_step` counts student and teacher, `of_student` the student alone, as where the teacher's features are cached.
    """
    with seeded(0):
        student = models.build("deit_ti", classes=1000, image_size=image_size, channels=3).to(device)
        taught = models.build(teacher, classes=1000, image_size=image_size, channels=3).to(device).eval()
    pixels = torch.randn(batch, 3, image_size, image_size, generator=torch.Generator().manual_seed(0)).to(device)
    features = torch.randn(batch, student.feature_dim, device=device)
    steps: dict[str, Step] = {STUDENT: _training(student, pixels), TEACHER: _frozen(taught, pixels)}
    for name, projector in _projectors(names, student.feature_dim, taught.feature_dim).items():
        steps[name] = _projection(projector.to(device), features)
    times = {name: statistics.median(each) for name, each in times_ms(steps, seconds=seconds, device=device).items()}
    whole = times[STUDENT] + times[TEACHER]
    return {
        name: {"step_ms": time, "of_student": time / times[STUDENT], "of_step": time / whole}
        for name, time in times.items()
    }


def _projectors(names: Sequence[str], student_dim: int, teacher_dim: int) -> dict[str, nn.Module]:
    with seeded(0):
        ours = {name: Projector(student_dim, teacher_dim, by=name) for name in names}
        torchs = parametrizations.orthogonal(nn.Linear(student_dim, teacher_dim, bias=False))
        return {PLAIN: nn.Linear(student_dim, teacher_dim, bias=False), **ours, TORCH: torchs}


def _training(student: models.Backbone, pixels: Tensor) -> Step:
    optimiser = stiefel.optim.build(student, "adamw", lr=1e-4, weight_decay=0.05)
    labels = torch.zeros(len(pixels), dtype=torch.long, device=pixels.device)

    def step() -> None:
        output = student(pixels)
        loss = functional.cross_entropy(output.logits, labels) + output.feature.mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _frozen(teacher: models.Backbone, pixels: Tensor) -> Step:
    def step() -> None:
        with torch.no_grad():
            teacher(pixels)

    return step


def _projection(projector: nn.Module, features: Tensor) -> Step:
    trained = [parameter for parameter in projector.parameters() if parameter.requires_grad]
    inputs = features.requires_grad_()
    return lambda: torch.autograd.grad(projector(inputs).sum(), [inputs, *trained], allow_unused=True)


def _main(argv: Sequence[str] | None) -> int:
    parser = console.Parser(prog="python -m benchmarks.overhead", description=(__doc__ or "").split("\n")[0])
    trivialised = [name for name in stiefel.names() if stiefel.get(name).claims.optimiser != "riemannian"]
    parser.add_argument("--map", nargs="+", default=trivialised, help="default: every trivialised map")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--teacher", default="timm:regnety_160", help="a model name; its weights are random here")
    parser.add_argument("--seconds", type=float, default=20.0, help="time spent on each part (at least one step)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args(argv)
    settings = {"batch": arguments.batch, "image_size": arguments.image_size, "teacher": arguments.teacher}
    rows = measure(**settings, names=arguments.map, seconds=arguments.seconds, device=arguments.device)
    title = f"DeiT-Ti, batch {arguments.batch}, {arguments.image_size} px, {arguments.device}; goal <= {GOAL:.0%}"
    table = Table("part", "ms", "of the student's step", "of the whole step", title=title, title_justify="left")
    for name, row in rows.items():
        table.add_row(name, f"{row['step_ms']:.1f}", f"{row['of_student']:.2%}", f"{row['of_step']:.2%}")
    Console().print(table)
    if arguments.out:
        write(arguments.out, {"device": arguments.device, **settings, "goal": GOAL, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())

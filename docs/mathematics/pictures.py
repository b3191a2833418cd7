"""Draw the pictures of docs/mathematics.md from the maps themselves, beside this file; it takes seconds.

python docs/mathematics/pictures.py
"""

import math
import sys
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

import stiefel
from distill.report.plots import COLOURS
from proofs.oracles import geodesic, tangent_part
from stiefel.parameterisations import REGISTRY

# Maps whose parameter is the point itself draw no curve: their optimiser's step is a retraction.
MAPS = {name: stiefel.get(name) for name in REGISTRY if stiefel.get(name).claims.optimiser == "any"}
_LOOK = {
    name: {"color": COLOURS[index % len(COLOURS)], "label": name, "linewidth": 1.6} for index, name in enumerate(MAPS)
}
# The oracle lies under the map that it is the oracle of.
_LOOK["dense_exponential"] |= {"linewidth": 4.5, "alpha": 0.35}
_GREY = "#9aa3ab"
_DOTS_EVERY = 25


def main(folder: Path) -> None:
    """Write curves.svg and orders.svg."""
    with rc_context({"svg.hashsalt": "stiefel-distill", "font.size": 9, "axes.titlesize": 10, "legend.frameon": False}):
        for name, figure in {"curves": curves(), "orders": orders()}.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def curves() -> Figure:
    """Draw where each map takes t·U: the first column of a frame in R³, and the angle travelled on a sphere."""
    figure = Figure(figsize=(8.2, 4.1), layout="constrained")
    sphere, angle = figure.subplots(1, 2)
    base, tangent = _start(3, 2, seed=6)
    times = torch.linspace(0, 3, 3 * _DOTS_EVERY + 1, dtype=torch.float64)
    columns = {name: _travelled(name, base, tangent, times)[..., 0] for name in MAPS}
    pole = torch.cat([*columns.values()]).mean(0)
    _draw_globe(sphere, pole)
    for name, points in columns.items():
        _draw_on_globe(sphere, pole, points, name)
    sphere.set_title("St(3, 2): the frame's first column, t = 0, 1, 2, 3")

    base, tangent = _start(3, 1, seed=0)
    times = torch.linspace(0, 2 * math.pi, 101, dtype=torch.float64)
    for name in MAPS:
        cosines = (base.mT @ _travelled(name, base, tangent, times)).flatten()
        angle.plot(times, cosines.clamp(-1, 1).acos().rad2deg(), **_LOOK[name])
    angle.set(title="St(3, 1): the angle travelled, degrees", xlabel="t", yticks=[0, 90, 180])
    _plain(angle)
    figure.legend(*angle.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def orders() -> Figure:
    """Draw how far each retraction is from the geodesic of its metric after a step of length t."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    base, tangent = _start(20, 5, seed=0)
    times = torch.logspace(-4, 0, 33, dtype=torch.float64)
    for name, by in MAPS.items():
        if by.claims.retraction_order is None:
            continue
        ends = torch.stack([geodesic(by.claims.metric, base, time * tangent) for time in times])
        axes.plot(times, torch.linalg.matrix_norm(_travelled(name, base, tangent, times) - ends), **_LOOK[name])
    for text, falling in (("t²", 0.02 * times**2), ("t³", 0.004 * times**3)):
        axes.plot(times, falling, color=_GREY, linestyle=":", linewidth=1)
        axes.annotate(text, (float(times[8]), float(falling[8])), (6, -6), textcoords="offset points", color=_GREY)
    axes.set(xscale="log", yscale="log", xlabel="step t", ylabel="distance to the geodesic, Frobenius")
    _plain(axes)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _start(n: int, p: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return a base and a tangent of spectral norm 1 there."""
    generator = torch.Generator().manual_seed(seed)
    base = stiefel.random_point(n, p, dtype=torch.float64, generator=generator)
    tangent = tangent_part(base, torch.randn(n, p, dtype=torch.float64, generator=generator))
    return base, tangent / torch.linalg.matrix_norm(tangent, ord=2)


def _travelled(name: str, base: Tensor, tangent: Tensor, times: Tensor) -> Tensor:
    """Return the points (times, n, p) of the free tensors t·U."""
    placed = MAPS[name](*base.shape, dtype=base.dtype)
    start = placed.right_inverse(base)
    return torch.stack([placed(start + time * tangent) for time in times])


def _seen(pole: Tensor, points: Tensor) -> Tensor:
    """Return points of R³ as (right, up, towards the viewer) of someone who looks down on `pole`."""
    towards = pole / pole.norm()
    right = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0], dtype=pole.dtype), towards)
    right = right / right.norm()
    return points @ torch.stack([right, torch.linalg.cross(towards, right), towards], -1)


def _draw_globe(axes: Axes, pole: Tensor) -> None:
    turn = torch.linspace(0, 2 * math.pi, 121, dtype=torch.float64)
    axes.plot(turn.cos(), turn.sin(), color=_GREY, linewidth=0.8)
    for latitude in torch.linspace(-math.pi / 3, math.pi / 3, 5, dtype=torch.float64):
        ring = torch.stack([latitude.cos() * turn.cos(), latitude.cos() * turn.sin(), latitude.sin().expand(121)], -1)
        _draw_front(axes, _seen(pole, ring), color="#dfe3e7", linewidth=0.6)
    for longitude in torch.linspace(0, math.pi, 7, dtype=torch.float64)[:-1]:
        ring = torch.stack([turn.cos() * longitude.cos(), turn.cos() * longitude.sin(), turn.sin()], -1)
        _draw_front(axes, _seen(pole, ring), color="#dfe3e7", linewidth=0.6)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _draw_on_globe(axes: Axes, pole: Tensor, points: Tensor, name: str) -> None:
    seen = _seen(pole, points)
    _draw_front(axes, seen, marker="o", markevery=_DOTS_EVERY, markersize=3.5, **_LOOK[name])
    _draw_front(axes, seen * torch.tensor([1, 1, -1]), **_LOOK[name] | {"alpha": 0.25, "linewidth": 1})


def _draw_front(axes: Axes, seen: Tensor, **look) -> None:
    hidden = (seen[:, 2] < 0)[:, None]
    axes.plot(*seen[:, :2].masked_fill(hidden, math.nan).T, **look)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e9ec", linewidth=0.6)


if __name__ == "__main__":
    main(Path(__file__).parent)

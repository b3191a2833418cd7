"""What the tables of generation share: methods by fractions of the images, under the names that are shown."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from distill import budget
from distill.generation.config import GenerationConfig
from distill.generation.data import FEW_SHOT
from distill.generation.methods import METHODS
from distill.generation.teachers import distance_label
from distill.grid import Entry
from distill.report.picture import blank, tidy
from distill.report.plots import COLOURS
from distill.report.table import Table, plus_minus
from distill.reproduce.experiment import Study
from distill.reproduce.measured import as_figures, difference
from distill.results import BASELINE
from distill.statistics import Estimate, estimate, paired_difference

TASK = "generation"
FRACTIONS = (0.1, 0.2, 1.0)
# The paper's own normalisation is whitening; KD-DLGAN is what it builds on and compares with.
SHOWN = {"none": BASELINE, "kd_dlgan": "KD-DLGAN", "vkd_whiten": "VkD"}
_COLOURS = {"none": COLOURS[0], "kd_dlgan": COLOURS[1], "vkd_whiten": COLOURS[2]}
_NOTE = "± is the half-width of Student's 95 % interval over seeds."


def fractions(config: GenerationConfig) -> Sequence[float]:
    """Return the fractions of the images that are compared; all images alone where these are few shots or a list."""
    is_chosen = config.data.name in FEW_SHOT or config.data.shots > 0 or config.data.list != ""
    return (1.0,) if is_chosen else FRACTIONS


def needed(config: GenerationConfig) -> list[Entry]:
    """Return every method with every fraction."""
    return [entry(config, method, fraction) for fraction in fractions(config) for method in SHOWN]


def entry(config: GenerationConfig, method: str, fraction: float, keys: dict[str, Any] | None = None) -> Entry:
    """Return the run of a method with a fraction of the images, with recipe keys over it.

    The same name is the same run in every experiment, so that they share it.
    """
    changed = keys or {}
    name = ", ".join([SHOWN[method], *map(str, changed.values()), _percent(fraction)])
    made = {"data": replace(config.data, fraction=fraction), "budget": _budget(config, fraction)}
    return Entry(name, {**METHODS[method], **changed, **made}, over=entry_name("none", fraction))


def entry_name(method: str, fraction: float) -> str:
    """Return the name of a method's run with a fraction of the images."""
    return f"{SHOWN[method]}, {_percent(fraction)}"


def values(study: Study, name: str, key: str) -> list[float]:
    """Return a figure of a method's runs, a number a seed."""
    return study.method(name).values(key)


def below(study: Study, method: str, over: str, key: str = "fid") -> dict[float, Estimate]:
    """Return by how much a figure of `method` is below that of `over`, paired by seed, for every fraction."""
    return {
        fraction: paired_difference(
            values(study, entry_name(over, fraction), key), values(study, entry_name(method, fraction), key)
        )
        for fraction in fractions(study.config)
    }


def by_fraction(study: Study, keys: dict[str, str]) -> Table:
    """Return a row a method and figure, and a column a fraction; keys: figures → how they are called."""
    columns = fractions(study.config)
    rows = [
        [f"{shown}: {said}" if len(keys) > 1 else shown, *(_cell(study, method, each, key) for each in columns)]
        for key, said in keys.items()
        for method, shown in SHOWN.items()
    ]
    header = "method" if len(keys) > 1 else distance_label(study.config)
    return Table([header, *map(_percent, columns)], rows, f"{_NOTE} {samples(study)}")


def samples(study: Study) -> str:
    """Return a sentence on how many images are compared, and in what."""
    name = entry_name("none", fractions(study.config)[0])
    made, known = (int(values(study, name, key)[0]) for key in ("samples", "samples_real"))
    return f"{made} samples against {known} real images. Distance: {distance_label(study.config)}."


def as_json(study: Study, keys: Sequence[str]) -> dict[str, Any]:
    """Return the estimates and each seed's values of some figures of every run."""
    return {
        entry.name: {
            key: as_figures(estimate(values(study, entry.name, key)), values(study, entry.name, key)) for key in keys
        }
        for entry in study.entries
    }


def sentences(study: Study) -> list[str]:
    """Return what VkD gains over the others at every fraction, and whether that grows as images become fewer."""
    said = []
    for over in ("none", "kd_dlgan"):
        found = below(study, "vkd_whiten", over)
        said += [
            difference("Distance", SHOWN[over], f"VkD at {_percent(each)}", value) for each, value in found.items()
        ]
        if len(found) > 1:
            least, most = min(found), max(found)
            growth = paired_difference(_gain(study, over, least), _gain(study, over, most))
            said.append(difference(f"VkD's gain over {SHOWN[over]}", _percent(least), _percent(most), growth))
    return said


def picture(study: Study, keys: dict[str, str]) -> Figure:
    """Return a panel a figure: its value by fraction, a line a method."""
    drawn = blank(3.6 * len(keys) + 0.6, 3.6)
    columns = fractions(study.config)
    for axes, (key, said) in zip(drawn.subplots(1, len(keys), squeeze=False)[0], keys.items(), strict=True):
        for place, (method, shown) in enumerate(SHOWN.items()):
            found = [estimate(values(study, entry_name(method, each), key)) for each in columns]
            axes.errorbar(
                [index + 0.08 * (place - 1) for index in range(len(columns))],
                [value.mean for value in found],
                yerr=None if found[0].count < 2 else [value.half_width for value in found],
                fmt="o-",
                color=_COLOURS[method],
                capsize=3,
                label=shown,
            )
        axes.set_xticks(range(len(columns)), map(_percent, columns))
        axes.set(xlabel="training images", ylabel=said)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.legend(fontsize=8)
        tidy(axes)
    return drawn


def _budget(config: GenerationConfig, fraction: float) -> str:
    """Return the recipe's budget; epochs of fewer images are more, so that every fraction takes as many steps."""
    found = budget.parse(config.budget)
    if found.unit != budget.EPOCHS:
        return config.budget
    return f"{budget.EPOCHS}:{max(1, round(found.amount * config.data.fraction / fraction))}"


def _cell(study: Study, method: str, fraction: float, key: str) -> str:
    return plus_minus(estimate(values(study, entry_name(method, fraction), key)), scale=1, digits=3)


def _gain(study: Study, over: str, fraction: float) -> list[float]:
    pairs = (values(study, entry_name(method, fraction), "fid") for method in (over, "vkd_whiten"))
    return [without - distilled for without, distilled in zip(*pairs, strict=True)]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g} %"

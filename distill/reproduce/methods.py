"""The methods as an experiment's runs, under the names and colours that its tables and pictures show."""

from collections.abc import Mapping, Sequence

from distill.grid import Entry
from distill.methods import METHODS
from distill.report.plots import COLOURS
from distill.results import BASELINE

# The same name is the same run in every experiment, so that they share it. One gray, as there are nine methods.
SHOWN = {
    "none": (BASELINE, COLOURS[0]),
    "soft": ("DeiT, soft labels", "#999999"),
    "hard": ("DeiT, hard labels", COLOURS[7]),
    "linear": ("linear", COLOURS[1]),
    "mlp": ("MLP", COLOURS[3]),
    "ensemble": ("ensemble", COLOURS[4]),
    "srd": ("SRD", COLOURS[5]),
    "simkd": ("SimKD", COLOURS[6]),
    "vkd": ("VkD", COLOURS[2]),
}


def entry(name: str, keys: Mapping[str, object] | None = None) -> Entry:
    """Return the run of a method by its name in `distill.methods`, with recipe keys over it."""
    changed = dict(keys or {})
    shown = ", ".join([SHOWN[name][0], *map(str, changed.values())])
    return Entry(shown, {**METHODS[name], **changed})


def entries(names: Sequence[str]) -> list[Entry]:
    """Return the runs of methods."""
    return [entry(name) for name in names]


def colour(shown: str) -> str:
    """Return the colour of a method by the name that is shown, whatever keys stand behind it."""
    return next(colour for name, colour in SHOWN.values() if shown == name or shown.startswith(f"{name}, "))

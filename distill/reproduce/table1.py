"""Table 1: every method of the paper from the same start, and what VkD gains over each."""

from typing import Any

from matplotlib.figure import Figure

from distill.config import ClassificationConfig
from distill.grid import Entry
from distill.report.picture import blank, dots
from distill.report.table import NOTE, Table, percent, plus_minus
from distill.report.verdict import gain_in_words
from distill.reproduce.experiment import Experiment, Finding, Study
from distill.reproduce.measured import as_figures
from distill.reproduce.methods import SHOWN, colour, entries
from distill.results import BASELINE, Comparison, Method

_DEIT = "https://github.com/facebookresearch/deit/blob/main/README_deit.md"
_SRD = "https://github.com/roymiles/Simple-Recipe-Distillation"
_VKD = "https://github.com/roymiles/VkD"

# ImageNet-1K top-1 in per cent with a RegNetY-160 teacher, 300 epochs: what the authors' repositories state. They
# compare by their own training code, a single run each.
PAPER: list[dict[str, Any]] = [
    {"method": "no distillation", "deit_ti": 72.2, "deit_s": 79.9, "source": _DEIT},
    {"method": "DeiT, hard labels", "deit_ti": 74.5, "deit_s": 81.2, "source": _DEIT},
    {"method": "SRD", "deit_ti": 77.2, "deit_s": 82.1, "source": _SRD},
    {"method": "VkD", "deit_ti": 78.3, "deit_s": 82.3, "source": _VKD},
    {"method": "VkD, run again", "deit_ti": 79.2, "deit_s": None, "source": _VKD},
]


def needed(config: ClassificationConfig) -> list[Entry]:
    """Return every method."""
    return entries(list(SHOWN))


def analyse(study: Study) -> Finding:
    """Compare VkD with each method, paired by seed."""
    comparison = study.comparison
    vkd = study.method(SHOWN["vkd"][0])
    figures = {
        "metric": comparison.metric.name,
        "teacher": comparison.teacher,
        "methods": {method.name: _figures(comparison, method, vkd) for method in comparison.methods},
        "paper": PAPER,
    }
    return Finding(figures, _table(study, vkd), _sentences(comparison, vkd), _picture(comparison, vkd))


def _figures(comparison: Comparison, method: Method, vkd: Method) -> dict[str, Any]:
    figures = as_figures(method.estimate(comparison.metric.name), method.values(comparison.metric.name))
    return {**figures, "vkd_gain": as_figures(comparison.gain(vkd, over=method))} if method is not vkd else figures


def _table(study: Study, vkd: Method) -> Table:
    comparison = study.comparison
    headers = ["method", f"{comparison.metric.name}, %", "gain, %", "VkD's gain over it, %"]
    rows = []
    for method in comparison.methods:
        is_baseline = method is comparison.baseline
        own = "" if is_baseline else plus_minus(comparison.gain(method, over=comparison.baseline), signed=True)
        vkds = "" if method is vkd else plus_minus(comparison.gain(vkd, over=method), signed=True)
        rows.append([method.name, plus_minus(method.estimate(comparison.metric.name)), own, vkds])
    rows.append(["teacher", f"{100 * comparison.teacher:.2f}", "", ""])
    if study.config.data.name == "imagenet":
        rows += [[f"paper: {row['method']}", f"Ti {row['deit_ti']}, S {row['deit_s']}", "", ""] for row in PAPER]
    return Table(headers, rows, NOTE)


def _sentences(comparison: Comparison, vkd: Method) -> list[str]:
    without = comparison.baseline.estimate(comparison.metric.name).mean
    room = f"Without distillation the student reaches {percent(without)}, its teacher {percent(comparison.teacher)}."
    others = [method for method in comparison.methods if method is not vkd]
    # The two that the claim rests on come first.
    others.sort(key=lambda method: [BASELINE, "linear", method.name].index(method.name))
    return [room, *(gain_in_words(comparison, vkd, over=method) for method in others), *comparison.notes]


def _picture(comparison: Comparison, vkd: Method) -> Figure:
    picture = blank(9, 3.8)
    left, right = picture.subplots(1, 2)
    methods = comparison.methods
    values = [method.estimate(comparison.metric.name) for method in methods]
    dots(left, [method.name for method in methods], values, [colour(method.name) for method in methods], scale=100)
    left.axvline(100 * comparison.teacher, color="#5b6570", linestyle=":", linewidth=1.2)
    left.set(xlabel=f"test {comparison.metric.name}, % (dotted: teacher)", title="Each method")
    others = [method for method in methods if method is not vkd and method is not comparison.baseline]
    gains = [comparison.gain(vkd, over=method) for method in others]
    dots(right, [method.name for method in others], gains, [colour(method.name) for method in others], scale=100)
    right.axvline(0, color="#1b1f24", linewidth=0.8)
    right.set(xlabel="points, paired by seed", title="VkD's gain over each")
    return picture


EXPERIMENT = Experiment("Table 1: every method, same start, same budget", 5, needed, analyse)

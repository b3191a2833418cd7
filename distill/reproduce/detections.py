"""What tables 2 and 3, of detection, share: their runs, their rows and their picture."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from distill import recipe as recipes
from distill.config import flat
from distill.detection.config import METHODS, DetectionConfig
from distill.grid import Entry
from distill.report.picture import blank, dots
from distill.report.plots import COLOURS
from distill.report.table import NOTE, Table, plus_minus
from distill.report.verdict import gain_in_words
from distill.reproduce.experiment import Finding, Study
from distill.reproduce.measured import as_figures
from distill.results import BASELINE, BETWEEN, Method

TASK = "detection"
SHOWN = {"none": (BASELINE, COLOURS[0]), "token": ("token matching", COLOURS[4]), "vkd": ("VkD", COLOURS[2])}
VIDT = "https://github.com/naver-ai/vidt"
VKD = "https://github.com/roymiles/VkD"
DTO_KD = "https://openreview.net/forum?id=QMItTyQW92"


def entries(kinds: Sequence[str], variants: Mapping[str, Mapping[str, Any]], *, is_alone: bool) -> list[Entry]:
    """Return a run of each method for each variant: its name → the keys that make it.

    is_alone: whether the one run without distillation serves all variants, as where only teachers vary.
    """
    found = []
    for place, (variant, keys) in enumerate(variants.items()):
        for kind in kinds:
            if kind == "none" and is_alone and place:
                continue
            of_all = kind == "none" and is_alone
            name = SHOWN[kind][0] if of_all or not variant else f"{SHOWN[kind][0]}{BETWEEN}{variant}"
            over = BASELINE if is_alone or not variant else f"{BASELINE}{BETWEEN}{variant}"
            found.append(Entry(name, {**({} if of_all else keys), **METHODS[kind]}, over))
    return found


def students(config: DetectionConfig) -> dict[str, dict[str, Any]]:
    """Return the students of a recipe by name: nano, tiny and small on COCO, elsewhere its own alone."""
    if config.data.name != "coco":
        return {"": {}}
    found = {}
    for size in ("nano", "tiny", "small"):
        other = recipes.load(TASK, f"coco/vidt_{size}_vkd", ["--device", "cpu", "--precision", "float32"])
        assert isinstance(other, DetectionConfig)
        found[size] = flat({"student": {"name": other.student.name, "weights": other.student.weights}})
    return found


def teachers(config: DetectionConfig) -> dict[str, dict[str, Any]]:
    """Return two teachers of a recipe, the smaller first: its own and one as small as the student; ViDT's on COCO."""
    if config.data.name != "coco":
        own = config.teacher.name
        return {config.student.name: {"teacher.name": config.student.name}, own: {"teacher.name": own}}
    weights = Path(config.teacher.weights)
    return {
        size: {"teacher.name": f"vidt_{size}", "teacher.weights": str(weights.parent / f"vidt_{size}_50")}
        for size in ("small", "base")
    }


def finding(study: Study, paper: Sequence[Mapping[str, Any]]) -> Finding:
    """Return every run's AP, its gain over the run without distillation, and the published figures beside them."""
    comparison = study.comparison
    name = comparison.metric.name
    figures: dict[str, Any] = {"metric": name, "paper": list(paper), "methods": {}}
    rows, sentences = [], []
    for method in comparison.methods:
        over = study.method(method.over)
        found = {"teacher": method.teacher, **as_figures(method.estimate(name), method.values(name))}
        gain = ""
        if method is not over:
            difference = comparison.gain(method, over=over)
            found["gain"] = as_figures(difference)
            gain = plus_minus(difference, signed=True)
            sentences.append(gain_in_words(comparison, method, over=over))
        figures["methods"][method.name] = found
        of_teacher = "" if method is over or math.isnan(method.teacher) else f"{100 * method.teacher:.2f}"
        rows.append([method.name, plus_minus(method.estimate(name)), gain, _ap50(method), of_teacher])
    if study.config.data.name == "coco":
        rows += [[f"published: {row['name']}", f"{row['ap']}", "", "", row["source"]] for row in paper]
    headers = ["method", "AP, %", "gain, %", "AP50, %", "its teacher's AP, %"]
    return Finding(figures, Table(headers, rows, NOTE.split(" Defect")[0]), sentences, _picture(study))


def _ap50(method: Method) -> str:
    return plus_minus(method.estimate("ap50"))


def _picture(study: Study) -> Figure:
    comparison = study.comparison
    name = comparison.metric.name
    picture = blank(9, 1.4 + 0.35 * len(comparison.methods))
    left, right = picture.subplots(1, 2)
    methods = comparison.methods
    names = [method.name for method in methods]
    values = [method.estimate(name) for method in methods]
    dots(left, names, values, [_colour(each) for each in names], scale=100)
    left.set(xlabel="AP, %", title="Each run")
    others = [method for method in methods if method.over != method.name]
    gains = [comparison.gain(method, over=study.method(method.over)) for method in others]
    shown = [method.name for method in others]
    dots(right, shown, gains, [_colour(each) for each in shown], scale=100)
    right.axvline(0, color="#1b1f24", linewidth=0.8)
    right.set(xlabel="points, paired by seed", title="Gain over no distillation")
    return picture


def _colour(shown: str) -> str:
    return next(colour for name, colour in SHOWN.values() if shown.split(BETWEEN)[0] == name)

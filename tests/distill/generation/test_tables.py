"""The tables of generation, from figures of one's choice: what is compared, and what is said of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from torch import Tensor

from distill.data import Source
from distill.generation.config import GenerationConfig, GenerationData, Metrics
from distill.generation.encoders import Encoder
from distill.grid import Entry
from distill.metric import Metric
from distill.processes import Processes
from distill.reproduce import generated, table4, table5, table6_generation
from distill.reproduce.experiment import Study
from distill.results import Comparison, Method, Run

CONFIG = GenerationConfig(budget="epochs:100", data=GenerationData(fraction=0.2))
KEYS = ("fid", "kid", "precision", "recall", "diversity", "diversity_real", "effective_rank", "effective_rank_real")
# Distances at 10, 20 and 100 %, a number a seed: VkD gains 4, 3 and 1, seeds differing alike in all.
BASE = {"none": (10.0, 8.0, 5.0), "kd_dlgan": (9.0, 8.0, 5.0), "vkd_whiten": (6.0, 5.0, 4.0)}


def study(config: GenerationConfig = CONFIG, needed: Callable[..., list[Entry]] = generated.needed) -> Study:
    entries = needed(config)
    wanted = dict(zip(generated.FRACTIONS, range(3), strict=True))

    def method(shown: str) -> Method:
        name = next(name for name, label in generated.SHOWN.items() if shown.startswith(label))
        place = next(place for each, place in wanted.items() if shown.endswith(f", {100 * each:g} %"))
        numbers = [BASE[name][place] + noise for noise in (-0.3, 0.1, 0.2)]
        summaries = [{"samples": 300, "samples_real": 200} | dict.fromkeys(KEYS, value) for value in numbers]
        return Method(shown, [Run(seed, summary, []) for seed, summary in enumerate(summaries)])

    comparison = Comparison(
        task="generation",
        recipe_name="digits",
        budget=config.budget,
        metric=Metric("fid", "Fréchet distance", is_higher_better=False),
        methods=[method(entry.name) for entry in entries],
        recipe="",
        environment={},
        command="distill reproduce table4",
        notes=["A note."],
    )
    return Study(comparison, config, entries, Path())


def test_every_method_learns_from_every_fraction_for_as_many_steps() -> None:
    entries = generated.needed(CONFIG)
    assert [entry.name for entry in entries[:3]] == ["no distillation, 10 %", "KD-DLGAN, 10 %", "VkD, 10 %"]
    assert len(entries) == len({entry.slug for entry in entries}) == 9
    images = {entry.keys["budget"]: entry.keys["data"].fraction for entry in entries}
    assert images == {"epochs:200": 0.1, "epochs:100": 0.2, "epochs:20": 1.0}
    assert {entry.keys["budget"] for entry in generated.needed(replace(CONFIG, budget="steps:7"))} == {"steps:7"}
    assert all(entry.over == f"no distillation, {entry.name.split(', ')[-1]}" for entry in entries)


@pytest.mark.parametrize(
    "data", [GenerationData(name="faces"), GenerationData(name="shots"), GenerationData(shots=100)]
)
def test_few_shots_are_one_column(data: GenerationData) -> None:
    assert [entry.name for entry in generated.needed(replace(CONFIG, data=data))] == [
        "no distillation, 100 %",
        "KD-DLGAN, 100 %",
        "VkD, 100 %",
    ]


def test_table_4_says_what_vkd_gains_and_that_it_gains_more_of_fewer_images() -> None:
    found = table4.analyse(study())
    assert found.table.headers == ["Fréchet distance in a digits classifier's features", "10 %", "20 %", "100 %"]
    # Student's interval of −0.3, 0.1, 0.2: 4.303 · 0.2646 / √3.
    assert found.table.rows[0] == ["no distillation", "10.000 ± 0.657", "8.000 ± 0.657", "5.000 ± 0.657"]
    assert found.table.rows[2][0] == "VkD"
    assert "Distance, no distillation − VkD at 10 %: +4.00 ± 0.00." in found.sentences
    assert "VkD's gain over no distillation, 10 % − 100 %: +3.00 ± 0.00." in found.sentences
    assert "VkD's gain over KD-DLGAN, 10 % − 100 %: +2.00 ± 0.00." in found.sentences
    assert any("300 samples against 200 real images" in each for each in found.sentences)
    assert found.figures["runs"]["VkD, 20 %"]["fid"]["values"] == [4.7, 5.1, 5.2]
    assert isinstance(found.picture, Figure)


def test_a_distance_is_called_fid_in_inceptions_features_alone() -> None:
    inception = replace(CONFIG, metrics=Metrics(extractor="inception", weights="x"))
    assert table4.analyse(study(inception)).table.headers[0] == "FID"
    assert "FID" not in str(table4.analyse(study()).table)


def test_table_5_has_a_row_a_method_and_figure() -> None:
    found = table5.analyse(study())
    assert [row[0] for row in found.table.rows[:2]] == ["no distillation: precision", "KD-DLGAN: precision"]
    assert len(found.table.rows) == 9
    # More recall is better, so the sign turns: VkD minus the other.
    assert "Recall, VkD − no distillation at 10 %: -4.000 ± 0.000." in found.sentences


def test_table_6_crosses_projectors_with_normalisations_at_the_least_fraction_and_shares_table_4s_run() -> None:
    entries = table6_generation.needed(CONFIG)
    assert len({entry.name for entry in entries}) == 7
    assert {entry.keys["data"].fraction for entry in entries} == {0.1}
    shared = {entry.name: entry.keys for entry in generated.needed(CONFIG)}
    assert all(
        shared[name] == {e.name: e.keys for e in entries}[name] for name in ("no distillation, 10 %", "VkD, 10 %")
    )
    grid = {(entry.keys["projector"], entry.keys["normalise"]) for entry in entries if "projector" in entry.keys}
    assert len(grid) == 6


class Pixels(Encoder):
    """Pixels as features."""

    dim = 64

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def test_the_spectra_are_of_the_images_that_the_grid_learns_from(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt = []

    def recorded(config: GenerationConfig, train: Source, folder: Path, processes: Processes) -> Encoder:
        learnt.append(len(train))
        return Pixels()

    monkeypatch.setattr(table6_generation, "encoder_of", recorded)
    found = table6_generation.analyse(study(needed=table6_generation.needed))
    assert learnt == [100]  # a tenth of the digits, though the recipe says a fifth
    ranks = found.figures["effective_rank"]
    assert 1 < ranks["before whitening"] < ranks["after"] <= 64

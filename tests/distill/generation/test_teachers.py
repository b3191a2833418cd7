"""A run's frozen networks on the digits: the teacher, what stands for texts, the judge that is never the teacher."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from image_folders import broken_files, make_folder, write
from torch import Tensor

from distill.data import Source
from distill.errors import ModelError, RecipeError
from distill.generation import teachers
from distill.generation.config import KDDLGAN, GenerationConfig, GenerationData, GenerationTeacher, Metrics
from distill.generation.data import real_images
from distill.generation.encoders import BackboneEncoder
from distill.generation.extractors import ClassifierExtractor, spread
from distill.generation.metrics import judge
from distill.generation.validation import choices, validate
from distill.processes import Processes
from distill.task import seeded

CONFIG = GenerationConfig(
    data=GenerationData(fraction=0.1),
    teacher=GenerationTeacher(width=4, budget="steps:100"),
    metrics=Metrics(width=4, budget="steps:100", samples=300),
)


@pytest.fixture(scope="module")
def alone() -> Processes:
    return Processes(is_alone=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def train() -> Source:
    return real_images(CONFIG.data, seed=0)[0]


@pytest.fixture(scope="module")
def teacher(train: Source, folder: Path, alone: Processes) -> BackboneEncoder:
    found = teachers.encoder_of(CONFIG, train, folder / "teacher", alone)
    assert isinstance(found, BackboneEncoder)
    return found


@pytest.fixture(scope="module")
def extractor(folder: Path, alone: Processes) -> ClassifierExtractor:
    found = teachers.judge_of(CONFIG, folder / "judge", alone)
    assert isinstance(found, ClassifierExtractor)
    return found


def pixels(images: Source, most: int) -> Iterator[Tensor]:
    yield from (batch["pixels"] for batch in images.subset(spread(len(images), most)).evaluation(100))


def test_the_teacher_and_the_judge_learn_the_digits_and_arent_the_same(
    teacher: BackboneEncoder, extractor: ClassifierExtractor
) -> None:
    (batch,) = real_images(CONFIG.data, seed=0)[1].evaluation(797)
    for classifier in (teacher.backbone, extractor.classifier):
        guessed = classifier(batch["pixels"]).logits.argmax(1)
        assert (guessed == batch["labels"]).double().mean() > 0.5  # a tenth is chance; 100 steps are few
    assert not torch.allclose(teacher.backbone(batch["pixels"]).feature, extractor(batch["pixels"]).features, atol=0.1)


def test_a_distance_in_the_judges_features_is_never_called_fid(extractor: ClassifierExtractor) -> None:
    assert extractor.label == "Fréchet distance in a digits classifier's features"


def test_real_images_are_nearer_to_real_ones_than_noise_is(extractor: ClassifierExtractor, train: Source) -> None:
    reference = real_images(CONFIG.data, seed=0)[1]
    whole = real_images(replace(CONFIG.data, fraction=1.0), seed=0)[0]
    noise = [torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1]
    good, bad = (judge(extractor, pixels(reference, 300), fake, CONFIG.metrics) for fake in (pixels(whole, 300), noise))
    assert good["samples"] == good["samples_real"] == 300
    assert good["fid"] < 0.2 * bad["fid"]
    assert good["kid"] < bad["kid"]
    assert good["precision"] > bad["precision"]
    assert good["recall"] > bad["recall"]
    assert good["inception_score"] > bad["inception_score"]


def test_class_means_stand_in_for_texts_and_images_where_there_are_no_classes(
    teacher: BackboneEncoder, train: Source
) -> None:
    texts = teachers.texts_of(CONFIG, teacher, train)
    assert texts.shape == (10, teacher.dim)
    (batch,) = train.evaluation(len(train))
    threes = teacher(batch["pixels"][batch["labels"] == 3])
    assert torch.allclose(texts[3], threes.mean(0), atol=1e-5)  # in batches of 50, so in another order of sums
    faces, _ = real_images(GenerationData(name="faces", image_size=8), seed=0)
    assert teachers.texts_of(CONFIG, teacher, faces).shape == (100, teacher.dim)


def test_stand_ins_for_texts_are_means_of_the_images_that_can_be_decoded(tmp_path: Path, alone: Processes) -> None:
    root = make_folder(tmp_path, per_class=3)
    write(root / "train/ant/00.jpg", broken_files()["cut_off.jpg"])
    config = replace(CONFIG, data=GenerationData(name="folder", path=str(root), image_size=8, workers=0))
    images, _ = real_images(config.data, seed=0)
    with seeded(0):
        encoder = teachers.untaught(config, images)
    whole = torch.cat([encoder(batch["pixels"]) for batch in images.evaluation(9)])
    assert len(whole) == len(images) - 1
    found = teachers.texts_of(config, encoder, images)
    # ant, bee and cat are 2, 3 and 3 images; in other batches, so in another order of sums.
    assert torch.allclose(found, torch.stack([each.mean(0) for each in whole.split([2, 3, 3])]), atol=1e-5)


def test_a_teacher_that_knows_nothing_has_the_same_width_and_trains_nothing(
    teacher: BackboneEncoder, train: Source
) -> None:
    with seeded(0):
        assert teachers.untaught(CONFIG, train).dim == teacher.dim


def test_a_recipe_is_valid_by_default_and_every_choice_names_a_key() -> None:
    validate(GenerationConfig())
    assert GenerationConfig().batch_size == 50
    assert GenerationConfig().distillation in choices()["distillation"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (replace(CONFIG, data=GenerationData(fraction=2.0)), r"data\.fraction"),
        (replace(CONFIG, data=GenerationData(name="shots")), r"teacher\.weights.*images without labels"),
        (replace(CONFIG, alpha=0.0, data=GenerationData(name="shots")), r"metrics\.extractor.*inception"),
        (replace(CONFIG, metrics=Metrics(seed=0)), r"metrics\.seed.*never the teacher"),
        (replace(CONFIG, metrics=Metrics(extractor="inception")), r"metrics\.weights.*path"),
        (replace(CONFIG, metrics=Metrics(weights="x.pth")), r"metrics\.weights.*trained here"),
        (replace(CONFIG, metrics=Metrics(samples=3)), r"metrics\.samples"),
        (replace(CONFIG, teacher=GenerationTeacher(image_size=32)), r"teacher\.image_size"),
        (replace(CONFIG, alpha=float("nan")), "alpha"),
        (replace(CONFIG, distillation="kd_dlgan", kd_dlgan=KDDLGAN(0.0, 0.0, 0.0)), r"kd_dlgan\.aggregated.*alpha 0"),
    ],
)
def test_a_value_that_cant_be_is_refused_by_its_key(config: GenerationConfig, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        validate(config)


def test_an_unknown_teacher_is_refused() -> None:
    with pytest.raises(ModelError, match="no such model"):
        validate(replace(CONFIG, teacher=GenerationTeacher(name="convnot")))

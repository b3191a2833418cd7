"""A recipe and the flags over it become one validated config, or one sentence."""

from collections.abc import Sequence
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path

import pytest

import stiefel
from distill import config, extras, losses, normalise, projector
from distill import recipe as recipe_files
from distill.config import ClassificationConfig
from distill.errors import DistillError, RecipeError, RecipeFileError
from distill.train import run_config, train
from stiefel.errors import StiefelError


def load(*flags: str) -> ClassificationConfig:
    return recipe_files.load("classification", "digits", flags)


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_flag_wins_over_the_recipe_and_the_recipe_over_the_default(tmp_path: Path) -> None:
    recipe = written(tmp_path, "alpha: 3\nstudent:\n  width: 16\noptimiser: {lr: 1e-2}\n")
    loaded = recipe_files.load("classification", recipe, ["--student.width", "64"])
    assert (loaded.alpha, loaded.student.width, loaded.optimiser.lr, loaded.gamma) == (
        3.0,
        64,
        0.01,
        ClassificationConfig().gamma,
    )


def test_a_config_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        load().alpha = 2.0  # pyright: ignore[reportAttributeAccessIssue]


# What a machine without a GPU needs to read a recipe that was made for one.
ON_CPU = ["--device", "cpu", "--precision", "bfloat16"]


@pytest.mark.parametrize("name", recipe_files.recipes("classification"))
def test_every_recipe_of_ours_survives_the_round_trip_exactly(name: str, tmp_path: Path) -> None:
    before = recipe_files.load(
        "classification", name, ["--alpha", "0.1", "--optimiser.lr", "1.2345678901234567e-7", *ON_CPU]
    )
    path = tmp_path / "config.yaml"
    path.write_text(run_config("classification", before), encoding="utf-8")
    assert recipe_files.read(path) == ("classification", before)


# What a twin on the digits may change: the images and the models, and how long and where it runs.
OF_A_TWIN = {"data", "teacher", "student", "budget", "evaluations", "threads", "device", "precision", "optimiser"}


@pytest.mark.parametrize("name", ["deit_ti_vkd", "deit_s_vkd", "deit_ti_vkd_paper_exact", "deit_s_vkd_paper_exact"])
def test_a_twin_on_the_digits_is_its_sibling_on_imagenet_but_for_size(name: str) -> None:
    twin, sibling = (
        asdict(recipe_files.load("classification", f"{kind}/{name}", ON_CPU)) for kind in ("digits", "imagenet")
    )
    assert {key: twin[key] for key in twin.keys() - OF_A_TWIN} == {key: sibling[key] for key in twin.keys() - OF_A_TWIN}
    mixing = ("mixup", "cutmix", "mix_prob", "mix_switch", "label_smoothing", "labels_per_class", "unlabelled")
    assert [twin["data"][key] for key in mixing] == [sibling["data"][key] for key in mixing]
    same = ("name", "weight_decay", "warmup", "clip_norm")
    assert [twin["optimiser"][key] for key in same] == [sibling["optimiser"][key] for key in same]
    assert bool(twin["optimiser"]["lr_batch"]) == bool(sibling["optimiser"]["lr_batch"])


@pytest.mark.parametrize("name", ["deit_ti_vkd", "deit_s_vkd"])
def test_the_paper_exact_variant_differs_where_it_says_so(name: str) -> None:
    ours, paper = (
        asdict(recipe_files.load("classification", f"imagenet/{name}{variant}", ON_CPU))
        for variant in ("", "_paper_exact")
    )
    assert (ours["optimiser"].pop("lr_batch"), paper["optimiser"].pop("lr_batch")) == (512, 0)
    assert (ours["optimiser"].pop("warmup"), paper["optimiser"].pop("warmup")) == (0.0167, 0.0)
    assert ours == paper


@pytest.mark.parametrize("name", [name for name in recipe_files.recipes("classification") if "digits/" in name])
def test_a_twin_runs(name: str, tmp_path: Path) -> None:
    loaded = recipe_files.load("classification", name, ["--budget", "steps:4", "--teacher.budget", "steps:4"])
    assert 0 <= train("classification", loaded, tmp_path / "run")["accuracy"] <= 1


def test_the_recipes_teacher_is_published() -> None:
    timm = extras.load("timm", needed_by="this test")
    teacher = recipe_files.load("classification", "imagenet/deit_ti_vkd", ON_CPU).teacher.name
    assert teacher.removeprefix("timm:") in timm.list_pretrained()


@pytest.mark.parametrize("name", projector.names())
def test_every_projector_is_a_valid_name(name: str) -> None:
    assert load("--projector", name).projector == name


def test_a_parameterisation_may_be_a_module_and_class() -> None:
    reference = "stiefel.parameterisations.cayley:Cayley"
    assert load("--parameterisation", reference).parameterisation == reference


def test_a_config_without_a_task_is_a_teachers_own() -> None:
    with pytest.raises(RecipeFileError, match=r"run/teacher.*names no task.*give the folder of the run"):
        recipe_files.parse("data:\n  name: digits\n", "run/teacher")


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("projector", projector.names()),
        ("normalise", normalise.names()),
        ("loss", losses.names()),
        ("precision", config.PRECISIONS),
        ("optimiser.name", stiefel.optim.names()),
    ],
)
def test_an_unknown_name_is_refused_with_the_valid_ones(key: str, names: Sequence[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load(f"--{key}", "nonsense")
    assert all(name in str(caught.value) for name in [key, "nonsense", *names])


def test_an_unknown_parameterisation_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(StiefelError, match=r"caley.*cayley, dense_exponential, exponential"):
        load("--parameterisation", "caley")


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("alhpa: 1", "alhpa", "parameterisation"),
        ("alpha: much", "alpha", "a number"),
        ("alpha: -1", "alpha", ">= 0"),
        ("alpha: .nan", "alpha", "a number"),
        ("alpha: .inf", "alpha", "a number"),
        ("alpha: [1, 2]", "alpha", "a number"),
        ("seed: 1.5", "seed", "a whole number"),
        ("seed: true", "seed", "a whole number"),
        ("seed: -1", "seed", "from 0 to"),
        ("seed: 123456789012345678901234567890", "seed", "from 0 to"),
        ("data: 5", "data", "data.batch_size"),
        ("data: null", "data", "data.batch_size"),
        ("data: {shift: null}", "data.shift", "a whole number"),
        ("student: {width: 30}", "student.heads", "a divisor"),
        ("teacher: {weights: ''}", "teacher.weights", "train, pretrained or a path"),
        ("student: {name: timm:resnet18, width: 8}", "student.width", "has a shape of its own"),
        ("teacher: {optimiser: {lr: 0}}", "teacher.optimiser.lr", "above 0"),
        ("optimiser: {warmup: 1}", "optimiser.warmup", "warmup < 1"),
        ("evaluations: 0", "evaluations", ">= 1"),
        ("device: abacus", "device", "a device of this machine"),
        ("1: 2", "1", "parameterisation"),
    ],
)
def test_a_wrong_line_of_a_recipe_gives_one_sentence_with_key_and_file(
    text: str, key: str, expected: str, tmp_path: Path
) -> None:
    recipe = written(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        recipe_files.load("classification", recipe)
    message = str(caught.value)
    assert caught.value.key == key
    assert expected in message
    assert recipe in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["- a\n- b", "alpha: [", "just words", "\x00"])
def test_a_file_that_is_no_recipe_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeFileError) as caught:
        recipe_files.load("classification", written(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("data: {}\n", "it names no task, as a teacher's or a judge's own doesn't; give the folder of the run"),
        ("task: classification\ncompare: {}\n", "what compare was asked for; give one of the folders in runs/"),
        ("task: classification\nreproduce: {}\n", "what reproduce was asked for; give one of the folders in runs/"),
    ],
)
def test_a_folder_that_is_no_student_s_run_is_told_apart(text: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RecipeFileError, match=part):
        recipe_files.read(tmp_path / "config.yaml")


def test_a_missing_recipe_lists_the_known_ones() -> None:
    with pytest.raises(RecipeFileError, match=r"name one of digits, .*or give the path"):
        recipe_files.load("classification", "digitz")


@pytest.mark.parametrize(
    "flags",
    [["--foo", "1"], ["--pro", "linear"], ["stray"], ["--alpha", "1", "2"], ["-x"], ["--alpha"], ["--data", "x"]],
)
def test_a_wrong_flag_gives_one_sentence(flags: list[str]) -> None:
    with pytest.raises(DistillError) as caught:
        load(*flags)
    assert "\n" not in str(caught.value)


def test_a_wrong_flag_is_not_blamed_on_the_file() -> None:
    with pytest.raises(RecipeError) as caught:
        load("--alpha", "-1")
    assert "digits" not in str(caught.value)


def test_help_names_every_key_that_a_user_may_set() -> None:
    listed = recipe_files.keys_help()
    leaves = [key for key, value in asdict(ClassificationConfig()).items() if not isinstance(value, dict)]
    assert all(f"--{key}=" in listed for key in [*leaves, "student.width", "teacher.optimiser.lr"])

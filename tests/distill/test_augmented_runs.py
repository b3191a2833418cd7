"""Whole runs under every switch of the data, on digits and on files: they resume to the same figures."""

from pathlib import Path

import pytest
from image_folders import CLASSES, broken_files, make_folder, make_shards, write
from small_runs import figures, run_killed, run_small

from distill.errors import DataError, RecipeError

MIXED = ["--data.mixup", "0.8", "--data.cutmix", "1.0", "--data.label_smoothing", "0.1", "--data.erasing", "0.25"]
DIGITS = [*MIXED, "--data.repeats", "2", "--data.augment", "shift"]


def of_files(name: str, root: Path, *, workers: int = 0) -> list[str]:
    words = ["--data.name", name, "--data.path", str(root), "--data.image_size", "16", "--student.patch", "4"]
    return [*words, "--data.augment", "three_augment", "--data.workers", str(workers), *MIXED]


def run_in_two(folder: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Train with a kill after step 7 of 12, then resume."""
    run_killed(folder, *flags, step=7, monkeypatch=monkeypatch)
    run_small(folder, *flags, resume=True)


def test_a_digits_run_under_every_switch_resumes_to_the_same_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_small(tmp_path / "whole", *DIGITS, "--gamma", "1")
    run_in_two(tmp_path / "killed", [*DIGITS, "--gamma", "1"], monkeypatch)
    assert figures(tmp_path / "whole") == figures(tmp_path / "killed")


def test_every_switch_changes_a_digits_run(tmp_path: Path) -> None:
    seen = []
    for number, flags in enumerate([[], *([key, value] for key, value in zip(DIGITS[::2], DIGITS[1::2], strict=True))]):
        run_small(tmp_path / str(number) / "run", *flags)
        seen.append(figures(tmp_path / str(number) / "run")[-1]["loss"])
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(("name", "make"), [("folder", make_folder), ("shards", make_shards)])
def test_a_run_on_files_with_broken_ones_resumes_to_the_same_figures_with_other_workers(
    name: str, make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path / "data")
    if name == "folder":
        write(root / "train" / CLASSES[0] / "broken.jpg", broken_files()["cut_off.jpg"])
    run_small(tmp_path / "alone" / "run", *of_files(name, root))
    run_in_two(tmp_path / "ahead" / "run", of_files(name, root, workers=1), monkeypatch)
    assert figures(tmp_path / "alone" / "run") == figures(tmp_path / "ahead" / "run")
    log = tmp_path / "alone" / "run" / "warnings.log"
    assert log.exists() == (name == "folder")
    if name == "folder":
        assert log.read_text().count("broken.jpg") == 1


def test_bad_data_is_refused_before_a_run_folder_exists(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    (root / "train" / "zebra").mkdir()
    with pytest.raises(DataError, match="zebra"):
        run_small(tmp_path / "run", *of_files("folder", root))
    (root / "train" / "zebra").rmdir()
    with pytest.raises(RecipeError, match=r"labels_per_class.*at most 6"):
        run_small(tmp_path / "run", *of_files("folder", root), "--data.labels_per_class", "7")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("augment", "autoaugment"),
        ("name", "mnist"),
        ("normalisation", "none"),
        ("repeats", "0"),
        ("workers", "-1"),
        ("mixup", "-0.1"),
        ("cutmix", "nan"),
        ("erasing", "1.1"),
        ("mix_prob", "nan"),
        ("mix_switch", "-1"),
        ("label_smoothing", "2"),
        ("crop_scale", "0"),
        ("color_jitter", "-1"),
        ("image_size", "-1"),
        ("labels_per_class", "-1"),
    ],
)
def test_a_wrong_value_of_the_data_is_refused_by_its_key(key: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"data.{key}") as caught:
        run_small(tmp_path / "run", f"--data.{key}={value}")
    assert "\n" not in str(caught.value)

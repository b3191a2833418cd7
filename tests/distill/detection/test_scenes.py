"""Scenes are the same pictures each time, of digits that no training scene shares with a held-out one."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.detection.config import DetectionData
from distill.detection.data import scenes
from distill.detection.data.coco import read_parts
from distill.errors import DataError, RecipeError

COUNTS = {"train": 12, "val": 6}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "drawn"
    scenes.write(folder, COUNTS)
    return folder


def test_scenes_are_read_like_any_coco_folder_without_a_fault(drawn: Path) -> None:
    for part, annotations in zip(COUNTS, read_parts(drawn), strict=True):
        assert len(annotations) == COUNTS[part]
        assert annotations.classes == 10
        assert not annotations.faults
        assert (np.diff(annotations.first) >= 1).all()
        corners = annotations.boxes[:, :2] + annotations.boxes[:, 2:]
        assert (annotations.boxes[:, :2] >= 0).all()
        assert (corners <= scenes.EDGE).all()
        assert annotations.boxes[:, 2:].min() >= 3


def test_the_same_scenes_are_drawn_each_time(drawn: Path, tmp_path: Path) -> None:
    scenes.write(tmp_path / "again", COUNTS)
    for path in drawn.rglob("*.json"):
        again = tmp_path / "again" / path.relative_to(drawn)
        assert json.loads(path.read_text()) == json.loads(again.read_text())
    for path in drawn.rglob("*.png"):
        with Image.open(path) as before, Image.open(tmp_path / "again" / path.relative_to(drawn)) as after:
            assert np.array_equal(np.asarray(before), np.asarray(after))


def test_a_longer_drawing_begins_with_the_shorter_one(drawn: Path, tmp_path: Path) -> None:
    scenes.write(tmp_path / "longer", {"train": 14, "val": 1})
    name = "train/00011.png"
    assert (drawn / name).read_bytes() == (tmp_path / "longer" / name).read_bytes()


def test_boxes_are_tight_around_the_ink_and_hide_no_other() -> None:
    digits = np.zeros((1, 8, 8))
    digits[0, 2:6, 3:5] = 1
    for seed in range(10):
        picture, found = scenes.scene(digits, np.array([1]), np.random.default_rng(seed))
        assert picture.shape == (scenes.EDGE, scenes.EDGE, 3)
        for place, (_, box) in enumerate(found):
            # Two of eight columns and four of eight rows have ink; bicubic enlargement blurs a pixel or two more.
            assert 1 <= box[3] / box[2] <= 2.5
            assert all(scenes._covered(box, other) <= 0.1 for _, other in found[:place])


def test_a_folder_is_drawn_once_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "COUNTS", {"train": 2, "val": 2})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    train, _ = scenes.load(DetectionData())
    assert train.folder.is_relative_to(tmp_path)
    written = {path: path.stat().st_mtime_ns for path in train.folder.iterdir()}
    again, _ = scenes.load(DetectionData())
    assert {path: path.stat().st_mtime_ns for path in again.folder.iterdir()} == written
    own, _ = scenes.load(DetectionData(path=str(tmp_path / "own")))
    assert own.folder == tmp_path / "own" / "train"


def test_mirrored_digits_and_a_folder_that_cant_be_written_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.flip"):
        scenes.load(DetectionData(flip=0.5))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="can be written"):
        scenes.load(DetectionData(path=str(tmp_path / "file" / "scenes")))

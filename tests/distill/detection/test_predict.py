"""`distill predict` writes a picture with the boxes that a run finds."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_detections import few_scenes, run_small
from small_runs import run_small as run_classification

from distill import cli
from distill.detection.predict import draw, predict
from distill.errors import DataError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict") / "run"
    run_small(folder, "--method", "none")
    return folder


def test_every_image_becomes_a_picture_and_a_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = sorted((few_scenes() / "val").iterdir())[:2]
    words = ["predict", str(run), *map(str, images), "--out", str(tmp_path / "out"), "--threshold", "0"]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out.splitlines()
    for image, line in zip(images, printed, strict=True):
        picture = tmp_path / "out" / f"{image.stem}.png"
        assert line.startswith(f"{picture}: ")
        with Image.open(picture) as drawn, Image.open(image) as before:
            scale = drawn.width // before.width
            assert drawn.width == scale * before.width >= 320
            enlarged = before.resize(drawn.size, Image.Resampling.NEAREST)
            assert not np.array_equal(np.asarray(drawn), np.asarray(enlarged))


def test_no_score_reaches_one_and_the_picture_is_left_as_it_is(run: Path, tmp_path: Path) -> None:
    image = sorted((few_scenes() / "val").iterdir())[0]
    (drawn,) = predict(run, [image], tmp_path, threshold=1.0)
    assert drawn.found == []


def test_no_picture_replaces_an_image_or_another_picture(run: Path, tmp_path: Path) -> None:
    image = next((few_scenes() / "val").iterdir())
    for name in ("one/same.png", "other/same.png"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(image, tmp_path / name)
    one, other = tmp_path / "one" / "same.png", tmp_path / "other" / "same.png"
    for images, out in (([one], one.parent), ([one], tmp_path / "other" / ".." / "one"), ([one, other], tmp_path)):
        with pytest.raises(DataError, match="same"):
            list(predict(run, images, out, threshold=0.5))
    assert one.read_bytes() == image.read_bytes()
    assert not (tmp_path / "same.png").exists()


def test_a_strip_stays_within_memory() -> None:
    assert max(draw(Image.new("RGB", (1, 3000)), []).size) == 3000
    assert draw(Image.new("RGB", (64, 60)), []).size == (384, 360)


def test_a_box_is_drawn_along_its_edges() -> None:
    image = Image.new("RGB", (400, 400))
    picture = np.asarray(draw(image, [("cat", 0.5, (100.0, 150.0, 300.0, 250.0))]))
    assert picture.shape == (400, 400, 3)
    assert picture[150:251, 100].any(1).all()
    assert picture[150:251, 300].any(1).all()
    assert picture[250, 100:301].any(1).all()
    assert not picture[200, 110:290].any()
    assert not picture[260:].any()


def test_what_is_no_image_and_what_is_no_detection_run_are_one_sentence(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    run_classification(tmp_path / "other" / "run")
    image = str(next((few_scenes() / "val").iterdir()))
    for words, part in (
        ([str(run), str(tmp_path / "text.jpg")], "expected an image"),
        ([str(tmp_path / "other" / "run"), image], "expected detection"),
        ([str(tmp_path / "nowhere"), image], "holds no finished run"),
        ([str(run), image, "--threshold", "2"], "a score from 0 to 1"),
    ):
        assert cli.main(["predict", *words, "--out", str(tmp_path / "out")]) == 2
        captured = capsys.readouterr()
        assert part in captured.err
        assert captured.err.count("\n") == 1

"""Pascal VOC's folders become a folder in COCO's layout; what is broken is left out and counted."""

from pathlib import Path

import pytest
from image_folders import jpeg, write

from distill import cli
from distill.detection.data.coco import read_parts
from distill.detection.data.voc import CATEGORIES, convert
from distill.errors import DataError

OBJECT = "<object><name>{}</name><difficult>{}</difficult><bndbox>{}</bndbox></object>"
BOX = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"


def make_voc(root: Path, year: str, objects: dict[str, list[str]], **lists: list[str]) -> Path:
    """Write a VOC folder of images of 48 × 40 pixels with these objects."""
    folder = root / year
    for seed, (name, own) in enumerate(objects.items()):
        size = "<size><width>48</width><height>40</height></size>"
        text = f"<annotation><filename>{name}.jpg</filename>{size}{''.join(own)}</annotation>"
        write(folder / "Annotations" / f"{name}.xml", text.encode())
        write(folder / "JPEGImages" / f"{name}.jpg", jpeg(seed))
    for part, names in lists.items():
        write(folder / "ImageSets" / "Main" / f"{part}.txt", "\n".join(names).encode())
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cat = OBJECT.format("cat", 0, BOX.format(1, 1, 48, 40))
    dog = OBJECT.format("dog", 1, BOX.format(11, 5, 20, 14))
    make_voc(tmp_path, "VOC2007", {"a": [cat, dog], "b": [], "c": [cat]}, trainval=["a", "b"], test=["c"])
    make_voc(tmp_path, "VOC2012", {"d": [dog, dog]}, trainval=["d  1"])
    return tmp_path


def test_boxes_count_from_zero_and_hold_their_last_pixel(root: Path) -> None:
    assert convert([root / "VOC2007", root / "VOC2012"], root / "out", {"train": "trainval", "val": "test"}) == {}
    train, val = read_parts(root / "out")
    assert (len(train), len(val)) == (3, 1)
    assert train.classes == 20
    assert train.boxes[0].tolist() == [0, 0, 48, 40]
    assert train.boxes[1].tolist() == [10, 4, 10, 10]
    assert [train.categories[label][1] for label in train.labels] == ["cat", "dog", "dog", "dog"]
    assert train.crowds.tolist() == [False, True, True, True]
    assert not train.faults


def test_the_command_says_what_to_do_next(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["convert-voc", str(root / "VOC2007"), str(root / "VOC2012"), "--out", str(root / "out")]
    assert cli.main(words) == 0
    assert f"--data.path {root / 'out'}" in capsys.readouterr().out


BROKEN = {
    "no box": OBJECT.format("cat", 0, ""),
    "words": OBJECT.format("cat", 0, BOX.format("a", "b", "c", "d")),
    "unknown": OBJECT.format("unicorn", 0, BOX.format(1, 1, 9, 9)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_object_is_counted_and_left_out(name: str, tmp_path: Path) -> None:
    make_voc(tmp_path, "VOC2007", {"a": [BROKEN[name]], "b": []}, trainval=["a"], test=["b"])
    left_out = convert([tmp_path / "VOC2007"], tmp_path / "out", {"train": "trainval", "val": "test"})
    assert list(left_out.values()) == [1]
    assert len(read_parts(tmp_path / "out")[0].boxes) == 0


def test_a_broken_or_missing_annotation_is_counted_and_left_out(root: Path) -> None:
    (root / "VOC2007" / "Annotations" / "a.xml").write_text("<annotation>")
    (root / "VOC2007" / "Annotations" / "b.xml").unlink()
    left_out = convert([root / "VOC2007", root / "VOC2012"], root / "out", {"train": "trainval", "val": "test"})
    assert left_out == {"images whose annotation is missing or broken": 2}


def test_images_are_found_from_behind_a_link(root: Path) -> None:
    (root / "far" / "away").mkdir(parents=True)
    (root / "link").symlink_to(root / "far" / "away")
    convert([root / "VOC2007"], root / "link" / "out", {"train": "trainval", "val": "test"})
    train, _ = read_parts(root / "link" / "out")
    assert len(train) == 2
    assert not train.faults


def test_a_list_of_no_annotated_image_is_one_sentence(root: Path, tmp_path: Path) -> None:
    for path in (root / "VOC2007" / "Annotations").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="2 images whose annotation is missing"):
        convert([root / "VOC2007"], root / "out", {"train": "trainval", "val": "test"})
    (root / "VOC2007" / "ImageSets" / "Main" / "trainval.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="a list of images' names"):
        convert([root / "VOC2007"], root / "out", {"train": "trainval", "val": "test"})
    assert not (root / "out").exists()


def test_a_list_that_no_folder_has_is_one_sentence(root: Path) -> None:
    with pytest.raises(DataError, match=r"nonesuch\.txt"):
        convert([root / "VOC2007"], root / "out", {"train": "nonesuch", "val": "test"})
    assert len(set(CATEGORIES)) == 20

"""What lies on a disk is read as its layout promises, or refused with the place and the cure before anything trains."""

import io
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from image_folders import CLASSES, jpeg, make_folder, make_shards, write

from distill import data
from distill.config import Data
from distill.data.files import Files
from distill.errors import DataError, DistillError, RecipeError

WNIDS = ("n01440764", "n01443537", "n01484850")


def load(name: str, root: Path) -> tuple[Files, Files]:
    train, held_out = data.load(Data(name=name, path=str(root), workers=0, augment="none"))
    assert isinstance(train, Files)
    assert isinstance(held_out, Files)
    return train, held_out


def names(files: Files) -> list[str]:
    return [files.store.name(number) for number in files.origin.tolist()]


def make_imagenet(root: Path, *, flat: bool) -> Path:
    for number, wnid in enumerate(WNIDS):
        write(root / "train" / wnid / f"{wnid}_1.JPEG", jpeg(number))
        for again in range(2):
            file = f"ILSVRC2012_val_{2 * number + again + 1:08d}.JPEG"
            write(root / "val" / ("" if flat else wnid) / file, jpeg(10 + number))
    return root


def add_to_tar(path: Path, name: str, content: bytes) -> None:
    with tarfile.open(path, "a") as shard:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        shard.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("held_out", ["val", "valid", "validation", "test"])
def test_a_folder_with_train_and_a_held_out_part_is_read_as_it_is(held_out: str, tmp_path: Path) -> None:
    make_folder(tmp_path, parts=("train", held_out))
    write(tmp_path / "train" / "ant" / "._00.jpg", b"a Mac's shadow file")
    write(tmp_path / "train" / "ant" / "Thumbs.db", b"")
    write(tmp_path / "train" / "ant" / "below" / "99.JPEG", jpeg(99))
    write(tmp_path / "train" / ".cache" / "x.jpg", jpeg(98))
    train, test = load("folder", tmp_path)
    assert (len(train), len(test), train.classes) == (19, 18, 3)
    assert train.class_names == list(CLASSES)
    assert all(CLASSES[label] == name.split("/")[0] for name, label in zip(names(train), train.labels, strict=True))
    assert "ant/below/99.JPEG" in names(train)


def test_a_folder_without_parts_holds_the_same_fifth_of_each_class_out_every_time(tmp_path: Path) -> None:
    make_folder(tmp_path, per_class=10, parts=())
    train, test = load("folder", tmp_path)
    assert [train.labels.bincount().tolist(), test.labels.bincount().tolist()] == [[8] * 3, [2] * 3]
    assert not set(names(train)) & set(names(test))
    before = set(names(test))
    write(tmp_path / "ant" / "zz.jpg", jpeg(7))
    after = set(names(load("folder", tmp_path)[1]))
    assert after - before <= {"ant/zz.jpg"}
    assert len(before - after) <= 1


def test_names_in_any_script_are_found_and_read(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write(tmp_path / part / "коты 猫" / "ёж é.jpg", jpeg(1))
    train, _ = load("folder", tmp_path)
    assert names(train) == ["коты 猫/ёж é.jpg"]
    assert train.store.read(0) == jpeg(1)
    assert len(train.fingerprint()) == 64


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("mapping", ["val.txt by number", "val.txt by wnid", "LOC_val_solution.csv"])
def test_imagenet_is_read_in_class_folders_or_flat_with_a_list(flat: bool, mapping: str, tmp_path: Path) -> None:
    make_imagenet(tmp_path, flat=flat)
    lines = {
        "val.txt by number": [f"ILSVRC2012_val_{n + 1:08d}.JPEG {n // 2}" for n in range(6)],
        "val.txt by wnid": [f"ILSVRC2012_val_{n + 1:08d}.JPEG {WNIDS[n // 2]}" for n in range(6)],
        "LOC_val_solution.csv": [
            "ImageId,PredictionString",
            *(f"ILSVRC2012_val_{n + 1:08d},{WNIDS[n // 2]} 111 108 370 289" for n in range(6)),
        ],
    }[mapping]
    if flat:
        (tmp_path / mapping.split()[0]).write_text("\n".join(lines) + "\n")
    train, val = load("imagenet", tmp_path)
    assert list(train.class_names) == list(val.class_names) == list(WNIDS)
    assert val.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [val.store.read(number) for number in range(6)] == [jpeg(10 + number // 2) for number in range(6)]


def test_shards_of_the_webdataset_package_are_read_by_their_offsets(tmp_path: Path) -> None:
    train, val = load("shards", make_shards(tmp_path))
    assert (len(train), len(val), train.classes) == (18, 18, 3)
    assert train.labels.tolist() == [number % 3 for number in range(18)]
    assert [train.store.read(number) for number in range(18)] == [jpeg(number) for number in range(18)]
    assert train.store.name(7) == "train-000001.tar:train/0007.jpg"


def rename_val(root: Path) -> None:
    (root / "val").rename(root / "kept")


def empty_class(root: Path) -> None:
    write(root / "train" / "dog" / "notes.txt", b"none yet")


def other_classes(root: Path) -> None:
    (root / "val" / "bee").rename(root / "val" / "wasp")


def no_classes(root: Path) -> None:
    (root / "train").rename(root / "gone")
    for name in ("val", "gone"):
        (root / name).rename(root / f".{name}")


def one_image(root: Path) -> None:
    (root / "train").rename(root / ".hidden")
    (root / "val").rename(root / ".hidden too")
    write(root / "ant" / "0.jpg", jpeg(0))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (rename_val, "one of val, valid, validation, test beside train"),
        (empty_class, r"train: .*images \(.*\) in every class, got none in dog; fill"),
        (other_classes, "the same classes in both parts, got bee in train alone"),
        (no_classes, "a folder of images for each class, got no folder"),
        (one_image, "two images or more in every class, got one in ant"),
    ],
)
def test_a_spoilt_folder_is_one_sentence(spoil: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    spoil(make_folder(tmp_path))
    with pytest.raises(DataError, match=says) as caught:
        load("folder", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_spoilt_imagenet_is_one_sentence(tmp_path: Path) -> None:
    make_imagenet(tmp_path / "flat", flat=True)
    with pytest.raises(DataError, match=r"val\.txt or LOC_val_solution\.csv beside a flat val, got neither"):
        load("imagenet", tmp_path / "flat")
    mapping = tmp_path / "flat" / "val.txt"
    mapping.write_text("ILSVRC2012_val_00000001.JPEG 0\n")
    with pytest.raises(DataError, match=r"a label for every image.*none for ILSVRC2012_val_00000002\.JPEG"):
        load("imagenet", tmp_path / "flat")
    for wrong in ("3", "-1", "n99999999", ""):
        mapping.write_text(f"\nILSVRC2012_val_00000001.JPEG {wrong}\n")
        with pytest.raises(DataError, match=r"val\.txt, line 2: expected .* a number below 3"):
            load("imagenet", tmp_path / "flat")
    with pytest.raises(DataError, match=r"wnids, such as n01440764, got ant; set data\.name=folder"):
        load("imagenet", make_folder(tmp_path / "folder"))
    with pytest.raises(DataError, match=r"got no train; set data\.name=folder"):
        load("imagenet", make_folder(tmp_path / "bare", parts=()))


def cut_off(root: Path) -> None:
    shard = root / "train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:3000])


def no_tar(root: Path) -> None:
    (root / "train-000001.tar").write_bytes(b"no tar " * 1000)


def lose_one(root: Path) -> None:
    (root / "train-000001.tar").unlink()


def double_one(root: Path) -> None:
    (root / "train-000001.tar").rename(root / "old-train-000000.tar")


def no_val(root: Path) -> None:
    for shard in root.glob("val-*"):
        shard.unlink()


def label(part: str, content: bytes) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        add_to_tar(root / f"{part}-000000.tar", "new/1.jpg", jpeg(3))
        add_to_tar(root / f"{part}-000000.tar", "new/1.cls", content)

    return spoil


def no_label(root: Path) -> None:
    add_to_tar(root / "train-000000.tar", "new/1.jpg", jpeg(3))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (cut_off, r"train-000001\.tar: expected a whole tar file, got"),
        (no_tar, r"train-000001\.tar: expected a whole tar file, got"),
        (lose_one, "train shards 0, 1, … without a gap and each once, got number 2 out of turn"),
        (double_one, "each once, got number 0 out of turn"),
        (no_val, "shards named val or valid or validation or test-NNNNNN.tar, got none"),
        (label("train", b"7"), "training labels 0, 1, … without a gap, got labels up to 7, and none of class 3"),
        (label("val", b"3"), r"held-out labels from 0 to 2, got 3 in new/1\.jpg"),
        (label("train", b"-1"), r"a whole number from 0 in new/1\.cls, got '-1'"),
        (label("train", b"bee"), r"a whole number from 0 in new/1\.cls, got 'bee'"),
        (label("train", b""), r"a whole number from 0 in new/1\.cls, got ''"),
        (no_label, r"a \.cls beside new/1\.jpg, got none"),
    ],
)
def test_spoilt_shards_are_one_sentence(spoil: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    spoil(make_shards(tmp_path))
    with pytest.raises(DataError, match=says) as caught:
        load("shards", tmp_path)
    assert "\n" not in str(caught.value)


# Those of images in files; others have tests of their own.
LAYOUTS = [name for name in data.DATASETS if name not in ("digits", "faces", "cifar10", "cifar100")]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("path", ["", "nowhere", __file__])
def test_files_without_a_folder_are_refused_by_their_key(name: str, path: str) -> None:
    with pytest.raises(RecipeError, match=r"data\.path.*a folder of images"):
        data.load(Data(name=name, path=path))


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_empty_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DistillError, match=r"expected .*, got "):
        data.load(replace(Data(), name=name, path=str(tmp_path)))

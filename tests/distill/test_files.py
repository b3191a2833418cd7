"""Batches of images in files: the same whatever reads them, and whatever is broken among them."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import broken_files, encoded, jpeg, make_folder, make_shards, odd_files, write
from PIL import Image
from torch import Tensor

from distill import data, extras
from distill.config import Data
from distill.data import transforms
from distill.data.decode import decode
from distill.data.files import Files
from distill.errors import DataError

SIZE = 16
LAYOUTS = {
    "folder": make_folder,
    "shards": make_shards,
}


def keys(root: Path, **others: object) -> Data:
    return replace(Data(name="folder", path=str(root), image_size=SIZE, workers=0, augment="none"), **others)


def loaded(config: Data) -> tuple[Files, Files]:
    train, held_out = data.load(config)
    assert isinstance(train, Files)
    assert isinstance(held_out, Files)
    return train, held_out


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("folder"))


@pytest.mark.parametrize("augment", transforms.names())
def test_workers_resumes_and_other_steps_in_between_change_nothing(augment: str, folder: Path) -> None:
    config = keys(folder, augment=augment, erasing=0.3, mixup=0.8, cutmix=1.0, repeats=2)
    alone = loaded(config)[0].batches(4, 7, config)
    ahead = loaded(replace(config, workers=2))[0].batches(4, 7, config)
    state = torch.get_rng_state()
    steps = [0, 1, 2, 3, 9, 10, 2]
    for step in steps:
        assert same(alone[step], ahead[step]), step
    assert same(loaded(config)[0].batches(4, 7, config)[10], alone[10])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("augment", transforms.names())
def test_the_slices_of_two_processes_make_the_batch_of_one(augment: str, folder: Path) -> None:
    config = keys(folder, augment=augment, erasing=0.3, mixup=0.8, cutmix=1.0, repeats=2)
    whole = loaded(config)[0].batches(8, 7, config)
    for step in (0, 1, 5):
        parts = [whole.shard(rank, 2)[step] for rank in range(2)]
        assert same({key: torch.cat([part[key] for part in parts]) for key in parts[0]}, whole[step])


@pytest.mark.parametrize("augment", [name for name in transforms.names() if name not in ("none", "shift", "mirror")])
def test_an_image_is_augmented_anew_by_place_epoch_and_seed(augment: str, tmp_path: Path) -> None:
    for part in ("train", "val"):
        for number in range(4):
            write(tmp_path / part / "one" / f"{number}.jpg", jpeg(0))
    config = keys(tmp_path, augment=augment)
    train = loaded(config)[0]
    views = [train.batches(4, 0, config)[step]["pixels"] for step in range(2)]
    views.append(train.batches(4, 1, config)[0]["pixels"])
    flat = torch.cat(views).flatten(1)
    assert len(torch.unique(flat, dim=0)) == len(flat)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_evaluation_is_torchvisions_resize_and_centre_crop_in_order(layout: str, tmp_path: Path) -> None:
    v2 = extras.load("torchvision.transforms.v2", needed_by="a test")
    config = keys(LAYOUTS[layout](tmp_path), name=layout)
    held_out = loaded(config)[1]
    oracle = v2.Compose(
        [
            v2.Resize(int(SIZE / 0.875), interpolation=v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(SIZE),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(*transforms.NORMALISATIONS["imagenet"]),
        ]
    )
    seen = list(held_out.evaluation(5))
    assert torch.equal(torch.cat([batch["index"] for batch in seen]), torch.arange(len(held_out)))
    assert torch.equal(torch.cat([batch["labels"] for batch in seen]), held_out.labels)
    for number, pixels in enumerate(torch.cat([batch["pixels"] for batch in seen])):
        # Both are exact to a few roundings of numbers below 3 · 255 · 4.
        assert (pixels - oracle(decode(held_out.store.read(number)))).abs().max() < 32 * 2**-23
    half = loaded(replace(config, normalisation="half"))[1]
    assert max(float(batch["pixels"].abs().max()) for batch in half.evaluation(5)) <= 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_few_labels_and_their_numbers_work_in_every_layout(layout: str, tmp_path: Path) -> None:
    config = keys(LAYOUTS[layout](tmp_path), name=layout)
    train = loaded(config)[0]
    few = train.few(2, seed=1)
    assert torch.bincount(few.labels).tolist() == [2, 2, 2]
    batch = few.batches(6, 0, config)[0]
    assert torch.equal(train.labels[batch["index"]], batch["labels"])
    by_number = {int(b["index"][i]): b["pixels"][i] for b in train.evaluation(4) for i in range(len(b["index"]))}
    for number, pixels in zip(batch["index"].tolist(), batch["pixels"], strict=True):
        assert torch.equal(pixels, by_number[number])
    assert few.selection() != train.few(2, seed=2).selection()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fingerprint_sees_names_sizes_and_labels_and_not_the_place(layout: str, tmp_path: Path) -> None:
    one, other = (loaded(keys(LAYOUTS[layout](tmp_path / name), name=layout))[0] for name in ("a", "b"))
    assert one.fingerprint() == other.fingerprint() != one.few(2, seed=0).fingerprint()
    relabelled = Files(one.store, one.labels.flip(0), one.class_names, one.data)
    assert relabelled.fingerprint() != one.fingerprint()


def test_a_transform_fingerprint_changes_with_what_changes_pixels() -> None:
    plain = Data()
    assert data.transform_fingerprint(plain) == data.transform_fingerprint(replace(plain, workers=9, path="elsewhere"))
    for change in ({"augment": "crop"}, {"image_size": 8}, {"erasing": 0.1}, {"mixup": 0.8}, {"normalisation": "half"}):
        assert data.transform_fingerprint(replace(plain, **change)) != data.transform_fingerprint(plain)


@pytest.mark.parametrize("name", broken_files())
@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named_once_and_the_next_one_takes_its_place(
    name: str, workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_folder(tmp_path, per_class=3)
    write(root / "train" / "ant" / f"00_{name}", broken_files()[name])
    write(root / "val" / "ant" / f"00_{name}", broken_files()[name])
    config = keys(root, workers=workers)
    train, held_out = loaded(config)
    broken = next(i for i in range(len(train)) if train.store.name(i).endswith(name))
    batches = train.batches(10, 0, config)
    with caplog.at_level(logging.WARNING, "distill.data"):
        for step in range(3):
            batch = batches[step]
            assert len(batch["labels"]) == 10
            assert sorted(batch["index"].tolist()) == sorted([*set(range(10)) - {broken}, broken + 1])
            assert torch.equal(train.labels[batch["index"]], batch["labels"])
    assert list(batches.skipped) == [train.store.name(broken)]
    assert [record.message.split(":")[0] for record in caplog.records] == [f"skipped ant/00_{name}"]
    caplog.clear()
    for _ in range(2):
        index = torch.cat([batch["index"] for batch in held_out.evaluation(4)])
        assert index.tolist() == [number for number in range(10) if number != broken]
    assert len(caplog.records) == len(held_out.skipped) == 1


@pytest.mark.parametrize("name", odd_files())
@pytest.mark.parametrize("augment", transforms.names())
def test_an_odd_image_is_converted(name: str, augment: str, tmp_path: Path) -> None:
    for part in ("train", "val"):
        for number in range(2):
            write(tmp_path / part / "one" / f"{number}{name}", odd_files()[name])
    config = keys(tmp_path, augment=augment)
    train, held_out = loaded(config)
    batches = train.batches(2, 0, config)
    for step in range(3):
        assert batches[step]["pixels"].isfinite().all()
    assert not batches.skipped
    assert len(next(held_out.evaluation(2))["index"]) == 2


def test_sixteen_bits_keep_their_range_and_exif_turns_the_image() -> None:
    deep = np.asarray(decode(odd_files()["sixteen_bits.png"]))
    assert np.array_equal(deep[..., 0], (np.arange(48 * 40) * 30 // 256).reshape(40, 48))
    rotated, upright = (decode(content) for content in (odd_files()["rotated.jpg"], jpeg(1)))
    assert np.array_equal(np.asarray(rotated), np.asarray(upright.transpose(Image.Transpose.ROTATE_270)))


def test_a_transform_that_fails_on_an_image_is_that_images_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_on_square(image: Image.Image) -> Image.Image:
        raise ZeroDivisionError

    monkeypatch.setattr(transforms, "training", lambda data, size: fail_on_square)
    config = keys(folder)
    with pytest.raises(DataError, match=r"images that can be decoded.*ZeroDivisionError"):
        loaded(config)[0].batches(4, 0, config)[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_data_without_a_whole_image_is_an_error_not_a_loop(workers: int, tmp_path: Path) -> None:
    for part in ("train", "val"):
        for number in range(4):
            write(tmp_path / part / "ant" / f"{number}.jpg", b"")
    config = keys(tmp_path, workers=workers)
    train, held_out = loaded(config)
    with pytest.raises(DataError, match=r"decoded, got a long row of broken ones up to ant/\d\.jpg"):
        train.batches(2, 0, config)[0]
    with pytest.raises(DataError, match="decoded"):
        list(held_out.evaluation(2))


def test_all_three_augments_of_deit_iii_happen(tmp_path: Path) -> None:
    # A flat image in one colour: blur leaves it, grey makes its channels equal, solarising inverts the bright one.
    colour = (200, 40, 90)
    content = encoded(Image.new("RGB", (32, 32), colour), "PNG")
    for part in ("train", "val"):
        for number in range(64):
            write(tmp_path / part / "one" / f"{number:02d}.png", content)
    config = keys(tmp_path, augment="three_augment", color_jitter=0.0, normalisation="half")
    pixels = loaded(config)[0].batches(64, 0, config)[0]["pixels"][:, :, 8, 8]
    kinds = {tuple(round(float(value) * 127.5 + 127.5) for value in pixel) for pixel in pixels}
    grey = round(0.299 * 200 + 0.587 * 40 + 0.114 * 90)
    assert kinds == {colour, (grey, grey, grey), (55, 40, 90)}
    counts = [sum(1 for pixel in pixels if round(float(pixel[0]) * 127.5 + 127.5) == red) for red in (200, grey, 55)]
    assert min(counts) >= 8  # binomial(64, 1/3): mean 21, deviation 3.8


def test_a_crop_keeps_at_least_its_share(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 256, dtype=np.uint8), (256, 1))
    for part in ("train", "val"):
        for number in range(32):
            write(tmp_path / part / "one" / f"{number:02d}.png", encoded(Image.fromarray(ramp), "PNG"))
    ranges = []
    for scale in (1.0, 0.08):
        config = keys(tmp_path, augment="crop", crop_scale=scale, color_jitter=0.0, normalisation="half")
        pixels = loaded(config)[0].batches(32, 0, config)[0]["pixels"][:, 0, 8]
        ranges.append(float((pixels.amax(-1) - pixels.amin(-1)).mean()))
    # A crop of scale 1 may still cut a strip off by its aspect, 3/4 … 4/3.
    assert ranges[0] > 1.5 > ranges[1]

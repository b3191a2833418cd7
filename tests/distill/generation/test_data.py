"""Real images: how many, which ones, and in −1 … 1, from every place that they may come from."""

import pickle
import pickletools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_folders import encoded, jpeg, make_folder, picture, write

from distill import data
from distill.data.cifar import read_batch
from distill.data.digits import load_digits
from distill.data.files import Files
from distill.errors import DataError, RecipeError
from distill.generation.config import GenerationData
from distill.generation.data import chosen_indices, names, real_images, source_keys, write_names

DIGITS = GenerationData()


def as_python_2(content: object) -> bytes:
    """Return the pickle that Python 2 and its numpy, which wrote the published files, would make of it."""
    pickled = bytearray(pickle.dumps(content, protocol=3))
    for opcode, _, position in pickletools.genops(bytes(pickled)):
        # Bytes were strings: the same layout behind another letter.
        pickled[position : position + 1] = {"SHORT_BINBYTES": b"U", "BINBYTES": b"T"}.get(
            opcode.name, pickled[position : position + 1]
        )
    return bytes(pickled).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def make_cifar(root: Path, *, is_hundred: bool = False) -> Path:
    """Write CIFAR's files in small: 50 training and 20 test images of noise."""
    label, count = (b"fine_labels", 100) if is_hundred else (b"labels", 10)
    folder = root / ("cifar-100-python" if is_hundred else "cifar-10-batches-py")
    files = {"train": 50} if is_hundred else {f"data_batch_{k}": 10 for k in range(1, 6)}
    for seed, (name, size) in enumerate({**files, "test" if is_hundred else "test_batch": 20}.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (size, 3072), dtype=np.uint8)
        content = {b"data": pixels, label: [k % 10 for k in range(size)]}
        write(folder / name, as_python_2(content))
    meta = {b"fine_label_names" if is_hundred else b"label_names": [f"kind {k}".encode() for k in range(count)]}
    write(folder / ("meta" if is_hundred else "batches.meta"), as_python_2(meta))
    return folder


@pytest.mark.parametrize("fraction", [0.1, 0.2, 1.0])
def test_a_fraction_of_the_digits_is_balanced_and_drawn_by_the_seed(fraction: float) -> None:
    keys = replace(DIGITS, fraction=fraction)
    train, reference = real_images(keys, seed=3)
    whole = torch.bincount(load_digits()[0].labels)
    assert torch.bincount(train.labels).tolist() == [round(fraction * int(count)) for count in whole]
    assert len(reference) == 797
    assert train.names() == real_images(keys, seed=3)[0].names()
    assert (train.names() == real_images(keys, seed=4)[0].names()) == (fraction == 1)


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_smaller_fractions_images_are_among_a_larger_ones(seed: int, one: float, other: float) -> None:
    images = load_digits(is_half=True)[0]
    smaller, larger = (
        set(chosen_indices(images, replace(DIGITS, fraction=each), seed=seed).tolist()) for each in sorted((one, other))
    )
    assert smaller <= larger


def test_digits_are_black_at_minus_one_and_white_at_one() -> None:
    train, _ = real_images(DIGITS, seed=0)
    (batch,) = train.evaluation(1000)
    assert (float(batch["pixels"].min()), float(batch["pixels"].max())) == (-1.0, 1.0)
    assert train.normalisation == ((0.5,), (0.5,))


def test_batch_k_is_a_function_of_seed_and_k_and_half_its_faces_are_mirrored() -> None:
    keys = GenerationData(name="faces", mirror=True, batch_size=50)
    train, reference = real_images(keys, seed=0)
    batches, again = (train.batches(50, 5, source_keys(keys)) for _ in range(2))
    batches[0]
    assert torch.equal(batches[3]["pixels"], again[3]["pixels"])
    original = {place: row for place, row in zip(train.names(), next(train.evaluation(100))["pixels"], strict=True)}
    mirrored = 0
    for step in range(4):
        batch = batches[step]
        for row, index in zip(batch["pixels"], batch["index"].tolist(), strict=True):
            kept = torch.equal(row, original[str(index)])
            assert kept or torch.equal(row, original[str(index)].flip(-1))
            mirrored += not kept
    assert 60 < mirrored < 140  # of 200 fair coins: more than 5 deviations of 7
    assert len(train) == len(reference) == 100


def test_faces_come_whole_in_any_size_and_with_backgrounds_to_tell_them_from() -> None:
    train, _ = real_images(GenerationData(name="faces", image_size=32), seed=0)
    (batch,) = train.evaluation(100)
    assert batch["pixels"].shape == (100, 1, 32, 32)
    assert -1 <= float(batch["pixels"].min()) < float(batch["pixels"].max()) <= 1
    keys = replace(source_keys(GenerationData(name="faces")), name="faces")
    known, held_out = data.load(keys)
    assert torch.bincount(known.labels).tolist() == [80, 80]
    assert torch.bincount(held_out.labels).tolist() == [20, 20]
    assert set(known.names()) & set(held_out.names()) == set()


@pytest.mark.parametrize("is_hundred", [False, True])
def test_cifars_batches_are_read_as_they_are_published(is_hundred: bool, tmp_path: Path) -> None:
    folder = make_cifar(tmp_path, is_hundred=is_hundred)
    name = "cifar100" if is_hundred else "cifar10"
    for path in (folder, tmp_path):
        train, reference = real_images(GenerationData(name=name, path=str(path)), seed=0)
        assert (len(train), len(reference), train.classes) == (50, 20, 100 if is_hundred else 10)
        assert train.class_names[3] == "kind 3"
    raw = read_batch(folder / ("train" if is_hundred else "data_batch_1"))[b"data"].reshape(-1, 3, 32, 32)
    (batch,) = train.evaluation(50)
    found = ((batch["pixels"][:8] + 1) * 127.5).round().to(torch.uint8)
    assert np.array_equal(found.numpy(), raw[:8])
    tenth, _ = real_images(GenerationData(name=name, path=str(folder), fraction=0.2), seed=0)
    assert torch.bincount(tenth.labels, minlength=10).tolist()[:10] == [1] * 10


class Runs:
    """Would write a file if its pickle were executed."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


def test_a_pickle_that_would_run_something_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    folder = make_cifar(tmp_path)
    proof = tmp_path / "proof"
    write(folder / "data_batch_2", pickle.dumps({b"data": Runs(proof), b"labels": [0]}))
    with pytest.raises(DataError, match=r"data_batch_2.*asks for pathlib.*which no batch needs") as caught:
        data.load(source_keys(GenerationData(name="cifar10", path=str(folder))))
    assert not proof.exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02not a pickle",
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]}, protocol=3),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, protocol=3),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}, protocol=3),
    ],
)
def test_a_spoilt_batch_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    folder = make_cifar(tmp_path)
    write(folder / "test_batch", content)
    with pytest.raises(DataError, match=r"test_batch.*expected .*, got .*; unpack") as caught:
        data.load(source_keys(GenerationData(name="cifar10", path=str(folder))))
    assert "\n" not in str(caught.value)


def test_a_folder_of_shots_is_one_class_compared_with_itself(tmp_path: Path) -> None:
    for seed in range(12):
        write(tmp_path / f"{seed:02d}.jpg", jpeg(seed))
    write(tmp_path / "notes.txt", b"no image")
    keys = GenerationData(name="shots", path=str(tmp_path), image_size=16, workers=0, shots=10)
    train, reference = real_images(keys, seed=0)
    assert (len(train), len(reference), train.classes) == (10, 12, 1)
    batch = train.batches(4, 0, source_keys(keys))[0]
    assert batch["pixels"].shape == (4, 3, 16, 16)
    assert batch["pixels"].abs().max() <= 1


def test_images_of_files_are_kept_to_their_shorter_edge(tmp_path: Path) -> None:
    image = picture(0, size=(16, 16))
    write(tmp_path / "only.png", encoded(image, "PNG"))
    keys = GenerationData(name="shots", path=str(tmp_path), image_size=16, workers=0)
    (batch,) = real_images(keys, seed=0)[0].evaluation(1)
    found = ((batch["pixels"][0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
    assert np.array_equal(found.numpy(), np.asarray(image))


def test_a_subset_of_a_layout_is_listed_and_the_list_gives_it_back(tmp_path: Path) -> None:
    root, listing = make_folder(tmp_path / "images"), tmp_path / "images.txt"
    keys = GenerationData(name="folder", path=str(root), workers=0, fraction=0.5)
    train, _ = real_images(keys, seed=1)
    assert isinstance(train, Files)
    write_names(train, listing)
    assert listing.read_text().splitlines() == train.names()
    again, _ = real_images(replace(keys, fraction=1.0, list=str(listing)), seed=9)
    assert again.names() == train.names()
    write(listing, b"ant/00.jpg\nant/99.jpg\n")
    with pytest.raises(DataError, match=r"such as ant/00\.jpg, got ant/99\.jpg; mend"):
        real_images(replace(keys, fraction=1.0, list=str(listing)), seed=0)


def test_the_reference_may_be_the_whole_training_set() -> None:
    train, reference = real_images(replace(DIGITS, fraction=0.1), seed=0, reference="training")
    assert len(reference) == 1000 > len(train)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (replace(DIGITS, fraction=0.0), r"data\.fraction.*above 0"),
        (replace(DIGITS, fraction=float("nan")), r"data\.fraction.*above 0"),
        (replace(DIGITS, fraction=0.5, shots=10), r"data\.fraction.*alone"),
        (replace(DIGITS, shots=15), r"data\.shots.*multiple of the 10 classes"),
        (replace(DIGITS, shots=5000), r"data\.shots.*has \d+ images"),
        (replace(DIGITS, list="nowhere.txt"), r"data\.list.*a name a line"),
        (replace(DIGITS, mirror=True), r"data\.augment.*digits"),
        (replace(DIGITS, name="cifar10", path="nowhere"), r"data\.path.*cifar-10-batches-py"),
        (replace(DIGITS, name="shots"), r"data\.path.*a folder of images"),
        (replace(DIGITS, name="faces", shots=101), r"data\.shots.*100 images"),
    ],
)
def test_keys_that_cant_be_followed_are_refused_by_name(keys: GenerationData, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        real_images(keys, seed=0)


def test_the_names_are_those_of_all_data_sets_and_the_few_shot_ones() -> None:
    assert set(names()) == {*data.DATASETS, "faces", "shots"}

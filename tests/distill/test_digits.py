"""The digits are split once, and few of them are drawn by seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distill import data
from distill.config import Data
from distill.data.augment import random_shift
from distill.data.digits import load_digits
from distill.data.images import Images
from distill.errors import RecipeError


@pytest.fixture(scope="module")
def train() -> Images:
    return load_digits()[0]


def test_the_split_is_fixed_stratified_and_disjoint() -> None:
    (train, test), (again, _) = load_digits(), load_digits()
    assert (len(train), len(test)) == (1000, 797)
    assert torch.equal(train.pixels, again.pixels)
    assert train.pixels.shape[1:] == (1, 8, 8)
    shares = torch.bincount(train.labels) / 1000 - torch.bincount(test.labels) / 797
    assert shares.abs().max() < 1 / 797
    # Two of the 1797 images may be equal by chance, none is: 64 pixels of 17 grey levels.
    assert not (train.pixels[:, None].flatten(2) == test.pixels[None].flatten(2)).all(-1).any()


def test_the_student_sees_as_many_of_each_class_as_it_may_chosen_by_seed(train: Images) -> None:
    few = train.few(5, seed=3)
    assert torch.bincount(few.labels).tolist() == [5] * 10
    assert torch.equal(few.pixels, train.few(5, seed=3).pixels)
    assert not torch.equal(few.pixels, train.few(5, seed=4).pixels)


def test_more_labels_than_there_are_is_refused_with_the_number(train: Images) -> None:
    with pytest.raises(RecipeError, match=r"data\.labels_per_class.*at most 9\d"):
        train.few(500, seed=0)


def test_a_shift_moves_an_image_by_whole_pixels_and_repeats_its_edge() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    row = torch.arange(4)
    allowed = [
        image[0, 0][(row + down).clamp(0, 3)][:, (row + right).clamp(0, 3)]
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]
    words = np.random.default_rng(0).integers(2**32, size=200, dtype=np.uint32)
    moved = random_shift(image.expand(200, -1, -1, -1), 1, words)
    found = {next(i for i, one in enumerate(allowed) if torch.equal(one, each)) for each in moved[:, 0]}
    assert found == set(range(9))
    assert random_shift(image, 0, words[:1]) is image


def test_an_unknown_data_set_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(RecipeError, match=r"data\.name.*one of digits"):
        data.load(Data(name="mnist"))


@pytest.mark.parametrize(("key", "value"), [("augment", "crop"), ("augment", "three_augment"), ("image_size", 224)])
def test_what_cant_be_done_to_digits_is_refused(key: str, value: object) -> None:
    with pytest.raises(RecipeError, match=f"data.{key}.*for digits"):
        data.load(replace(Data(), **{key: value}))

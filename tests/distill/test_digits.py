"""The digits are split once, and every batch is a function of seed and step."""

import pytest
import torch

from distill import data
from distill.config import Data
from distill.data.digits import load_digits
from distill.data.images import Batches, Images, random_shift
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


def test_an_epoch_holds_every_image_once(train: Images) -> None:
    batches = Batches(train, 100, 1, seed=0)
    for epoch in range(2):
        seen = torch.cat([batches.indices(epoch * 10 + step) for step in range(10)])
        assert torch.equal(seen.sort().values, torch.arange(1000))
    assert not torch.equal(batches.indices(0), batches.indices(10))


def test_a_batch_is_a_function_of_seed_and_step_and_nothing_else(train: Images) -> None:
    one, other = Batches(train, 32, 1, seed=5), Batches(train, 32, 1, seed=5)
    for step in (0, 1, 40):
        other[step + 7]
        torch.rand(3)
        assert torch.equal(one[step]["pixels"], other[step]["pixels"])
        assert torch.equal(one[step]["labels"], other[step]["labels"])


# torch's generator drops all but the low 32 bits of its seed: a seed kept in the high bits made all runs alike.
@pytest.mark.parametrize("seed", [1, 2, 7, 2**31 - 1])
def test_another_seed_shuffles_and_shifts_otherwise(seed: int, train: Images) -> None:
    one, other = Batches(train, 32, 1, seed=0), Batches(train, 32, 1, seed=seed)
    assert not torch.equal(one.indices(3), other.indices(3))
    alike = Images(train.pixels[:1].expand(32, -1, -1, -1), train.labels[:1].expand(32), 10)
    shifted = [Batches(alike, 32, 1, seed=each)[3]["pixels"] for each in (0, seed)]
    assert not torch.equal(*shifted)


def test_a_shift_moves_an_image_by_whole_pixels_and_repeats_its_edge() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    row = torch.arange(4)
    allowed = [
        image[0, 0][(row + down).clamp(0, 3)][:, (row + right).clamp(0, 3)]
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]
    moved = random_shift(image.expand(200, -1, -1, -1), 1, torch.Generator().manual_seed(0))
    found = {next(i for i, one in enumerate(allowed) if torch.equal(one, each)) for each in moved[:, 0]}
    assert found == set(range(9))
    assert random_shift(image, 0, torch.Generator()) is image


def test_an_unknown_data_set_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(RecipeError, match=r"data\.name.*one of digits"):
        data.load(Data(name="mnist"))

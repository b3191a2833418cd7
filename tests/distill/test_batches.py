"""A batch is a function of seed and step, whatever is augmented and however many processes share it."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from distill.config import Data
from distill.data.digits import load_digits
from distill.data.images import Images
from distill.errors import RecipeError

PLAIN = Data(augment="none")
EVERY_WAY = {
    "none": PLAIN,
    "shift": Data(augment="shift", shift=1),
    "erasing": replace(PLAIN, erasing=0.5),
    "repeats": replace(PLAIN, repeats=3, augment="shift"),
    "smoothing": replace(PLAIN, label_smoothing=0.1),
    "mixup": replace(PLAIN, mixup=0.8),
    "cutmix": replace(PLAIN, cutmix=1.0),
    "either, sometimes": replace(PLAIN, mixup=0.8, cutmix=1.0, mix_prob=0.6, label_smoothing=0.1),
    "all": Data(augment="shift", erasing=0.25, repeats=3, mixup=0.8, cutmix=1.0, label_smoothing=0.1),
}


@pytest.fixture(scope="module")
def train() -> Images:
    return load_digits()[0]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_an_epoch_holds_every_image_once(train: Images) -> None:
    batches = train.batches(100, 0, PLAIN)
    for epoch in range(2):
        seen = torch.cat([batches[epoch * 10 + step]["index"] for step in range(10)])
        assert torch.equal(seen.sort().values, torch.arange(1000))
    assert not torch.equal(batches[0]["index"], batches[10]["index"])


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_batch_is_a_function_of_seed_and_step_and_nothing_else(way: str, train: Images) -> None:
    one, other = (train.batches(32, 5, EVERY_WAY[way]) for _ in range(2))
    state = torch.get_rng_state()
    for step in (0, 1, 40):
        other[step + 7]
        assert same(one[step], other[step])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("way", EVERY_WAY)
@pytest.mark.parametrize("world", [2, 4])
def test_the_slices_of_all_processes_make_the_batch_of_one(way: str, world: int, train: Images) -> None:
    whole = train.batches(32, 5, EVERY_WAY[way])
    slices = [whole.shard(rank, world) for rank in range(world)]
    for step in (0, 1, 2, 3, 33):
        parts = [one[step] for one in slices]
        assert all(len(part["index"]) == 32 // world for part in parts)
        assert same({key: torch.cat([part[key] for part in parts]) for key in parts[0]}, whole[step])


def test_a_batch_that_cant_be_cut_into_even_slices_is_refused(train: Images) -> None:
    with pytest.raises(RecipeError, match=r"data\.batch_size.*a multiple of 4 for 2 processes.*30"):
        train.batches(30, 0, PLAIN).shard(0, 2)
    with pytest.raises(RecipeError, match="50"):  # the only batch of a smaller set, whatever was asked for
        train.few(5, seed=0).batches(64, 0, PLAIN).shard(0, 2)


# torch's generator drops all but the low 32 bits of its seed: a seed kept in the high bits made all runs alike.
@pytest.mark.parametrize("seed", [1, 2, 7, 2**31 - 1])
@pytest.mark.parametrize("way", ["shift", "erasing", "mixup", "cutmix"])
def test_another_seed_shuffles_and_augments_otherwise(seed: int, way: str, train: Images) -> None:
    one, other = (train.batches(32, each, EVERY_WAY[way])[3] for each in (0, seed))
    assert not torch.equal(one["index"], other["index"])
    alike = Images(train.pixels[:2].repeat(16, 1, 1, 1), train.labels[:2].repeat(16), 10)
    assert not torch.equal(*(alike.batches(32, each, EVERY_WAY[way])[3]["pixels"] for each in (0, seed)))


def test_repeats_are_other_views_of_fewer_images_and_never_mixed_with_themselves(train: Images) -> None:
    batches = train.batches(32, 0, EVERY_WAY["repeats"])
    index = batches[0]["index"]
    assert sorted(Counter(index.tolist()).values()) == [2, *[3] * 10]
    assert not (index[::2] == index[1::2]).any()
    views = batches[0]["pixels"][index == index[0]]
    assert len({tuple(view.flatten().tolist()) for view in views}) > 1
    assert batches.per_epoch == train.batches(32, 0, PLAIN).per_epoch


def test_soft_labels_are_those_that_cross_entropy_smooths_itself(train: Images) -> None:
    batch = train.batches(32, 0, EVERY_WAY["smoothing"])[0]
    logits = torch.randn(32, 10, generator=torch.Generator().manual_seed(0))
    expected = functional.cross_entropy(logits, train.labels[batch["index"]], label_smoothing=0.1)
    # One sum of 32 · 10 products each way.
    assert functional.cross_entropy(logits, batch["labels"]) == pytest.approx(float(expected), rel=320 * 2**-24)


def test_mixup_blends_neighbours_and_their_labels_in_the_same_share(train: Images) -> None:
    batches, plain = train.batches(32, 0, EVERY_WAY["mixup"]), train.batches(32, 0, PLAIN)
    shares = set()
    for step in range(8):
        mixed, before = batches[step], plain[step]
        neighbours = torch.arange(32) ^ 1
        of_own = functional.one_hot(before["labels"], 10)
        unlike = before["labels"] != before["labels"][neighbours]
        share = mixed["labels"][unlike][of_own[unlike].bool()]
        assert torch.equal(share, share[:1].expand_as(share))
        blended = share[0] * before["pixels"] + (1 - share[0]) * before["pixels"][neighbours]
        # Pixels are below 3; two products and a sum.
        assert (mixed["pixels"] - blended).abs().max() <= 3 * 3 * 2**-23
        shares.add(float(share[0]))
    assert len(shares) == 8


def test_cutmix_pastes_a_rectangle_of_the_neighbour_as_large_as_its_share_of_the_label() -> None:
    size = 16
    one, other = torch.zeros(3, size, size), torch.ones(3, size, size)
    pair = Images(torch.stack([one, other]).repeat(8, 1, 1, 1), torch.tensor([0, 1] * 8), 2)
    batches, seen = pair.batches(16, 0, EVERY_WAY["cutmix"]), set()
    for step in range(20):
        batch = batches[step]
        own = pair.labels[batch["index"]].float()
        unlike = own != own[torch.arange(16) ^ 1]
        pasted = (batch["pixels"] != own[:, None, None, None]).float()
        assert torch.equal(pasted[~unlike], torch.zeros_like(pasted[~unlike]))
        for mask, label, kept in zip(pasted[unlike], batch["labels"][unlike], own[unlike], strict=True):
            rows, columns = mask[0].amax(1).sum(), mask[0].amax(0).sum()
            assert mask.sum() == 3 * rows * columns, "not a rectangle"
            assert float(label[int(kept)]) == pytest.approx(float(1 - rows * columns / size**2), abs=2**-23)
            seen.add(float(rows * columns))
    assert len(seen) > 5


def test_mixing_happens_as_often_as_asked(train: Images) -> None:
    keys = replace(PLAIN, mixup=0.8, cutmix=1.0, mix_prob=0.5)
    mixed, plain = train.batches(32, 0, keys), train.batches(32, 0, PLAIN)
    count = sum(not torch.equal(mixed[step]["pixels"], plain[step]["pixels"]) for step in range(200))
    assert 70 <= count <= 130  # binomial(200, 1/2): four deviations


def test_erasing_fills_a_rectangle_of_some_images_with_noise() -> None:
    flat = Images(torch.zeros(512, 3, 32, 32), torch.zeros(512, dtype=torch.int64), 1)
    pixels = flat.batches(512, 0, replace(PLAIN, erasing=0.25))[0]["pixels"]
    erased = [(image != 0).float() for image in pixels if image.any()]
    assert 89 <= len(erased) <= 167  # binomial(512, 1/4): four deviations
    for mask in erased:
        rows, columns = mask[0].amax(1).sum(), mask[0].amax(0).sum()
        assert mask.sum() == 3 * rows * columns
        assert 0.01 <= rows * columns / 32**2 <= 0.36  # 0.02 … 1/3, its edges rounded
    noise = torch.cat([image[image != 0] for image in pixels])
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05
    assert not flat.pixels.any(), "the source itself was written to"


def test_evaluation_sees_every_image_once_in_order_without_augmentation(train: Images) -> None:
    seen = list(train.evaluation(300))
    assert torch.equal(torch.cat([batch["pixels"] for batch in seen]), train.pixels)
    assert torch.equal(torch.cat([batch["labels"] for batch in seen]), train.labels)


def test_a_subset_keeps_its_numbers_in_the_whole_and_a_hash_of_them(train: Images) -> None:
    few = train.few(5, seed=3)
    batch = few.batches(50, 0, PLAIN)[0]
    assert torch.equal(train.labels[batch["index"]], batch["labels"])
    assert torch.equal(train.pixels[batch["index"]], batch["pixels"])
    assert few.selection() == train.few(5, seed=3).selection() != train.few(5, seed=4).selection()
    assert few.fingerprint() != train.fingerprint() == load_digits()[0].fingerprint()
    assert train.few(0, seed=3) is train

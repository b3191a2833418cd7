"""The benchmark of images feeds both ways batches of the same shape."""

from pathlib import Path

import pytest

from benchmarks import images


@pytest.mark.parametrize("augment", images.AUGMENTS)
def test_both_ways_give_normalised_batches_of_one_shape(augment: str, tmp_path: Path) -> None:
    images.write_images(tmp_path, images.BATCH)
    for way in (images.ours, images.torchvisions):
        pixels = next(way(tmp_path, augment))
        assert pixels.shape == (images.BATCH, 3, images.SIZE, images.SIZE)
        assert pixels.isfinite().all()
        assert -2.2 < float(pixels.min()) < 0 < float(pixels.max()) < 2.7  # 0 and 255 by ImageNet's statistics
    assert all(ms > 0 for ms in images.measure(tmp_path, augment, 1).values())

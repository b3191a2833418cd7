"""A cached teacher teaches what the teacher itself does, and a cache that doesn't fit is never read."""

from pathlib import Path

import pytest
import torch
from small_runs import figures, run_small, small

from distill import cache, data
from distill.errors import CacheError, RecipeError
from distill.teacher import build

# The cache runs the teacher in other batch sizes: convolutions round differently, twelve steps carry it on.
TOLERANCE = 1e-4


@pytest.mark.parametrize(
    "flags",
    [
        ["--gamma", "1"],
        ["--tokens", "dense", "--layers", "blocks.0=stages.1,final"],
        ["--method", "simkd", "--scale.accumulate", "2"],
    ],
    ids=["pooled and labels", "dense and inner", "reused head in parts"],
)
def test_a_cached_run_has_the_losses_of_one_that_asks_the_teacher(flags: list[str], tmp_path: Path) -> None:
    run_small(tmp_path / "asked", *flags)
    run_small(tmp_path / "cached", *flags, "--teacher.cache", str(tmp_path / "cache"))
    for asked, cached in zip(figures(tmp_path / "asked"), figures(tmp_path / "cached"), strict=True):
        losses = [key for key in asked if key.endswith("loss")]
        assert [cached[key] for key in losses] == pytest.approx([asked[key] for key in losses], rel=TOLERANCE)


def test_it_is_computed_once_and_again_for_another_teacher_or_other_layers(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    run_small(tmp_path / "a", "--teacher.cache", str(folder))
    (first,) = folder.iterdir()
    stamp = (first / "00000.safetensors").stat().st_mtime_ns
    run_small(tmp_path / "b", "--teacher.cache", str(folder), "--seed", "1", "--alpha", "3")
    assert [first] == list(folder.iterdir())
    assert (first / "00000.safetensors").stat().st_mtime_ns == stamp
    run_small(tmp_path / "c", "--teacher.cache", str(folder), "--layers", "blocks.0=stages.1")
    run_small(tmp_path / "teacher2" / "d", "--teacher.cache", str(folder), "--teacher.seed", "1")
    assert len(list(folder.iterdir())) == 3


def test_a_killed_computation_goes_on_at_the_first_missing_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_ROWS", 256)
    config = small("--teacher.cache", str(tmp_path))
    images, _ = data.load(config.data)
    teacher = build(config.teacher, images, "")
    folder = cache.prepare(config, teacher, images)
    assert len(list(folder.glob("*.safetensors"))) == 4
    kept = cache.TeacherCache(folder, cache.names(config))[torch.arange(1000)]
    (folder / "complete.json").unlink()
    (folder / "00002.safetensors").unlink()
    stamp = (folder / "00001.safetensors").stat().st_mtime_ns
    again = cache.TeacherCache(cache.prepare(config, teacher, images), cache.names(config))[torch.arange(1000)]
    assert (folder / "00001.safetensors").stat().st_mtime_ns == stamp
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    with pytest.raises(CacheError, match="no row 1000, only 1000"):
        cache.TeacherCache(folder, cache.names(config))[torch.tensor([1000])]


@pytest.mark.parametrize("flags", [["--data.shift", "1", "--data.augment", "shift"], ["--data.mixup", "0.8"]])
def test_an_augmentation_that_varies_is_refused(flags: list[str]) -> None:
    with pytest.raises(RecipeError, match=r"data\.(augment|mixup).*fixed augmentation with teacher\.cache"):
        small(*flags, "--teacher.cache", "somewhere")


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match=r"can't be written.*set teacher\.cache elsewhere"):
        run_small(tmp_path / "run", "--teacher.cache", str(tmp_path / "file"))

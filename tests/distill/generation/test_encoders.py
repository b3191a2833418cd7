"""Frozen teachers: CLIP's own preprocessing and the published one, texts, classifiers; no gradient reaches an image."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from distill import extras, models
from distill.errors import ModelError, RecipeError
from distill.generation.encoders import BackboneEncoder, ClipEncoder, load_clip, text_features
from distill.models import Normalisation

EPS = torch.finfo(torch.float32).eps
DIM = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP of random weights for 32 × 32 pixels, and a tokeniser of letters, as transformers saves them."""
    folder = tmp_path_factory.mktemp("clip")
    transformers = extras.load("transformers", needed_by="tests")
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    letters = [*map(chr, range(97, 123)), ".", "<|startoftext|>", "<|endoftext|>"]
    words = [*letters, *(f"{letter}</w>" for letter in letters[:-2])]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    ends = {"bos_token_id": words.index("<|startoftext|>"), "eos_token_id": words.index("<|endoftext|>")}
    config = transformers.CLIPConfig(
        text_config={**shape, "vocab_size": len(words), "max_position_embeddings": 32, **ends},
        vision_config={**shape, "image_size": 32, "patch_size": 8},
        projection_dim=DIM,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(folder: Path) -> Any:
    return load_clip(str(folder))


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_clips_features_are_transformers_own_of_pixels_normalised_as_clip_was_trained(clip: Any) -> None:
    encoder, pixels = ClipEncoder(clip), images(3, 3, 32, 32)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    expected = ((pixels + 1) / 2 - mean) / deviation
    assert torch.allclose(encoder.preprocess(pixels), expected, atol=16 * EPS)
    with torch.no_grad():
        features = clip.get_image_features(pixel_values=expected).pooler_output
    # Two layers of width 32 on inputs that differ by a few eps.
    assert torch.allclose(encoder(pixels), features, atol=1000 * EPS)
    assert encoder(pixels).shape == (3, encoder.dim)


def test_other_sizes_are_resized_bicubically_and_stay_within_the_pixels_range(clip: Any) -> None:
    encoder, small = ClipEncoder(clip), images(2, 1, 8, 8)
    resized = functional.interpolate(small, size=(32, 32), mode="bicubic", antialias=True).clamp(-1, 1)
    expected = (resized - encoder.mean) / encoder.deviation
    assert torch.allclose(encoder.preprocess(small), expected)
    assert torch.equal(encoder.preprocess(small), encoder.preprocess(small.expand(-1, 3, -1, -1)))


def test_the_published_preprocessing_repeats_pixels_and_normalises_nothing(clip: Any) -> None:
    encoder, small = ClipEncoder(clip, preprocessing="published"), images(2, 3, 8, 8)
    assert torch.equal(encoder.preprocess(small), small.repeat_interleave(4, 2).repeat_interleave(4, 3))
    assert not torch.allclose(encoder(small), ClipEncoder(clip)(small), atol=0.01)
    with pytest.raises(RecipeError, match=r"teacher\.preprocessing.*25 pixels don't divide CLIP's 32"):
        encoder(images(1, 1, 25, 25))


def test_texts_are_clips_own_features_of_the_classes_prompts(folder: Path, clip: Any) -> None:
    found = text_features(clip, str(folder), ["cat", "cat", "sea_lion"])
    assert found.shape == (3, DIM)
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2], atol=0.01)
    transformers = extras.load("transformers", needed_by="tests")
    tokeniser = transformers.CLIPTokenizer.from_pretrained(str(folder))
    with torch.no_grad():
        alone = clip.get_text_features(**tokeniser("a photo of a sea lion.", return_tensors="pt")).pooler_output
    # Alone it is not padded; the padding is masked, so only the order of sums differs.
    assert torch.allclose(found[2:], alone, atol=1000 * EPS)


def test_files_that_arent_there_or_dont_fit_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"clip:.*can't be had"):
        load_clip(str(tmp_path / "nowhere"))
    config = json.loads((folder / "config.json").read_text())
    config["projection_dim"] = DIM + 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="can't use model 'clip:") as caught:
        load_clip(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_classifiers_features_are_its_pooled_ones_of_pixels_as_it_expects_them() -> None:
    classifier = models.build("convnet", classes=4, image_size=16, channels=3, shape={"width": 4})
    classifier.normalisation = Normalisation((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    plain = models.build("convnet", classes=4, image_size=16, channels=3, shape={"width": 4})
    plain.load_state_dict(classifier.state_dict())
    encoder, pixels = BackboneEncoder(classifier), images(3, 1, 16, 16)
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    expected = plain.eval()(((pixels + 1) / 2 - mean) / deviation).feature
    # Six layers whose inputs differ by a few eps.
    assert torch.allclose(encoder(pixels), expected, atol=1000 * EPS)
    assert encoder.dim == 16


def test_an_encoder_stays_frozen_whatever_holds_it(clip: Any) -> None:
    for encoder in (
        ClipEncoder(clip),
        BackboneEncoder(models.build("convnet", classes=2, image_size=8, channels=1, shape={"width": 4})),
    ):
        pixels = images(4, 1, 8, 8).requires_grad_()
        before = {name: value.clone() for name, value in encoder.state_dict().items()}
        first = encoder.train()(pixels)
        assert torch.equal(first, encoder(pixels))
        assert not first.requires_grad
        assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
        assert not any(parameter.requires_grad for parameter in encoder.parameters())

"""Every pair of networks keeps the contract of generators and discriminators."""

import pytest
import torch
from torch import nn

from distill.errors import ModelError
from distill.generation.models import build, names
from stiefel.errors import UnknownNameError

# Classes, size and channels that a pair is tried at.
TRIED = {
    "biggan": (10, 32, 3),
    "biggan_digits": (10, 8, 1),
    "stylegan2": (0, 8, 3),  # at 256 pixels a pass takes gigabytes; the layers are the same
    "stylegan2_small": (0, 32, 3),
}


def parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("is_conditional", [True, False])
def test_a_pair_makes_and_judges_images(name: str, is_conditional: bool) -> None:
    classes, size, channels = TRIED[name]
    generator, discriminator = build(name, classes if is_conditional else 0, size, channels)
    labels = torch.tensor([0, 1, 2]) if is_conditional else None
    latent = torch.randn(3, generator.latent_dim, generator=torch.Generator().manual_seed(0))
    images = generator(latent, labels)
    assert images.shape == (3, channels, size, size)
    judgement = discriminator(images, labels)
    assert judgement.logits.shape == (3,)
    assert judgement.feature.shape == (3, discriminator.feature_dim)
    judgement.logits.sum().backward()
    assert all(each.grad is not None for each in [*generator.parameters(), *discriminator.parameters()])


@pytest.mark.parametrize(("classes", "expected"), [(10, (4304387, 4207361)), (100, (4580867, 4230401))])
def test_biggan_has_the_parameters_of_its_authors_cifar_runs(classes: int, expected: tuple[int, int]) -> None:
    # Counted in ajbrock/BigGAN-PyTorch with G_ch = D_ch = 64, dim_z 128, no attention: scripts/launch_cifar_ema.sh.
    generator, discriminator = build("biggan", classes, 32, 3)
    assert (parameters(generator), parameters(discriminator)) == expected


def test_stylegan2_has_the_parameters_of_its_authors_at_256_pixels() -> None:
    # Counted in NVlabs/stylegan2-ada-pytorch with channel_base 16384, channel_max 512, 8 mapping layers.
    with torch.device("meta"):
        generator, discriminator = build("stylegan2", 0, 256, 3)
    assert (parameters(generator), parameters(discriminator)) == (24767458, 24001089)


def test_every_layer_of_biggan_has_spectral_norm_one() -> None:
    kinds = (nn.Conv2d, nn.Linear)
    generator, discriminator = build("biggan_digits", 10, 8, 1)
    layers = [each for each in generator.modules() if isinstance(each, kinds)]
    layers += [each for each in discriminator.modules() if isinstance(each, (*kinds, nn.Embedding))]
    assert len(layers) == 5 + 11
    for layer in layers:
        # Each look is one power iteration; the largest values of random weights lie close together.
        for _ in range(300):
            weight = layer.weight.detach()
        assert float(torch.linalg.matrix_norm(weight.flatten(1), 2)) == pytest.approx(1, rel=1e-3)


def test_stylegan2_is_refused_classes() -> None:
    with pytest.raises(ModelError, match="without classes"):
        build("stylegan2_small", 10, 32, 3)


@pytest.mark.parametrize("size", [20, 4])
@pytest.mark.parametrize("name", names())
def test_a_size_that_networks_cant_make_is_refused(name: str, size: int) -> None:
    with pytest.raises(ModelError, match=f"got {size}"):
        build(name, 0, size, 1)


def test_unknown_networks_are_named() -> None:
    with pytest.raises(UnknownNameError, match="biggan_digits"):
        build("bigan", 10, 32, 3)

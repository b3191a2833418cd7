"""The game: two networks, what all images go through before they are judged, and how it is told that it is over."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from distill.generation import adversarial
from distill.generation.augment import DRAWS, augment
from distill.generation.distillation import Distillation
from distill.generation.encoders import Encoder
from distill.generation.game_config import Game as Keys
from distill.generation.models import Discriminator, Generator, Judgement
from distill.processes import sum_over_processes
from distill.task import Ailment

# Uniform numbers an image: of its augmentation, and one that decides whether it is augmented.
CHANCES = DRAWS + 1
# A discriminator whose logits are this large on average has diverged: BigGAN's lie within some tens.
_DIVERGED = 1e4
# Shares of the loss at logits 0: below the first it is always right, nearer to 1 than the second it says nothing.
_RIGHT, _SILENT = 0.005, 1e-4


class Game(nn.Module):
    """Everything that a checkpoint holds: generator, discriminator, what it learns from its teacher, the state.

    probability: share of the images that are augmented. path_mean: running mean of path lengths. stuck: steps on end
    in which the discriminator was right, or said nothing. encoder: the teacher, which is no part of it; None without
    a distillation.
    """

    def __init__(
        self,
        keys: Keys,
        generator: Generator,
        discriminator: Discriminator,
        distillation: Distillation | None,
        encoder: Encoder | None,
    ):
        super().__init__()
        self.keys, self.stakes = keys, adversarial.build(keys.stakes)
        self.generator, self.discriminator, self.distillation = generator, discriminator, distillation
        # In a tuple it isn't a submodule: checkpoints don't hold it, `train` doesn't reach it.
        self._encoder: tuple[Encoder, ...] = () if encoder is None else (encoder,)
        self.register_buffer("probability", torch.tensor(0.0 if keys.adaptive else 1.0))
        self.register_buffer("path_mean", torch.zeros(()))
        self.register_buffer("stuck", torch.zeros((), dtype=torch.long))
        self.probability: Tensor
        self.path_mean: Tensor
        self.stuck: Tensor

    @property
    def encoder(self) -> Encoder:
        """The frozen teacher; only a game with a distillation has one."""
        return self._encoder[0]

    def make(self, batch: Mapping[str, Tensor]) -> Float[Tensor, "batch channels h w"]:
        """Return the images of a turn's latents."""
        return self.generator(batch["latent"], batch.get("fake_labels"), drawn=drawn_for(batch))

    def augmented(
        self, images: Float[Tensor, "batch channels h w"], chances: Float[Tensor, "batch chances"]
    ) -> Float[Tensor, "batch channels h w"]:
        """Return images as they are judged, each augmented with the present probability."""
        changed = augment(images, chances[:, :DRAWS], self.keys.augmentations)
        if not self.keys.adaptive:
            return changed
        return torch.where((chances[:, DRAWS] < self.probability)[:, None, None, None], changed, images)

    def judge(
        self, fake: Tensor, fake_labels: Tensor | None, real: Tensor, labels: Tensor | None
    ) -> tuple[Judgement, Judgement]:
        """Return what the discriminator says of generated and of real images."""
        if self.discriminator.is_batch_aware:
            return self.discriminator(fake, fake_labels), self.discriminator(real, labels)
        both = None if labels is None or fake_labels is None else torch.cat([fake_labels, labels])
        logits, feature = self.discriminator(torch.cat([fake, real]), both)
        count = len(fake)
        return Judgement(logits[:count], feature[:count]), Judgement(logits[count:], feature[count:])

    @torch.no_grad()
    def adapt(self, real_logits: Float[Tensor, "batch"]) -> None:
        """Augment more images where the discriminator is too sure of real ones, fewer where it isn't.

        Source: Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 3.
        """
        if self.keys.adaptive:
            own = torch.stack([real_logits.sign().sum(), real_logits.new_tensor(len(real_logits))])
            signs, count = sum_over_processes(own.float())
            step = count / self.keys.adaptive_images
            self.probability.add_((signs / count - self.keys.adaptive).sign() * step).clamp_(0, 1)

    def ailment(self, losses: Mapping[str, float]) -> Ailment | None:
        """Return whether the discriminator diverged, or was right or said nothing for too long."""
        largest = max(abs(losses["logit_real"]), abs(losses["logit_fake"]))
        if largest > _DIVERGED:
            return Ailment(f"a discriminator that diverged, with mean logits of {largest:.3g}", 1)
        share = losses["adversarial_loss"] / self.stakes.silent
        is_stuck = share < _RIGHT or abs(share - 1) < _SILENT
        self.stuck.copy_(self.stuck + 1 if is_stuck else torch.zeros_like(self.stuck))
        if int(self.stuck) < self.keys.patience:
            return None
        what = "is always right" if share < _RIGHT else "says nothing"
        loss = f"its loss has been {losses['adversarial_loss']:.3g} or near it for {int(self.stuck)} steps"
        return Ailment(f"a discriminator that {what} ({loss})", int(self.stuck))


def drawn_for(batch: Mapping[str, Tensor]) -> torch.Generator:
    """Return the generator of what a turn draws beside its batch."""
    device = batch["latent"].device
    return torch.Generator(device).manual_seed(int(batch["noise_seed"][0]))


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let no gradient be computed for a module's parameters inside."""
    trained = [each for each in module.parameters() if each.requires_grad]
    for each in trained:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in trained:
            each.requires_grad_(True)

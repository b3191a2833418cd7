"""The turns of a generation step: the discriminator's, with what it learns from its teacher, and the generator's."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from distill.generation.adversarial import gradient_penalty, path_lengths, path_penalty
from distill.generation.distillation import Both
from distill.generation.game import CHANCES, Game, drawn_for, frozen
from distill.generation.models.networks import StyledGenerator

# A path's length is measured on this share of a batch, as StyleGAN2's authors do.
_PATH_SHARE = 2


class DiscriminatorTurn(nn.Module):
    """loss = the game's + the distillation's terms + r1·every·R1, on images augmented alike."""

    def __init__(self, game: Game):
        super().__init__()
        self.game = game

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        game, real = self.game, batch["pixels"]
        with torch.no_grad():
            fake = game.make(batch)
        if "r1" in batch:
            real = real.detach().requires_grad_()
        fake_seen = game.augmented(fake, batch["chances"][:, :CHANCES])
        real_seen = game.augmented(real, batch["chances"][:, CHANCES:])
        judged_fake, judged = game.judge(fake_seen, batch.get("fake_labels"), real_seen, batch.get("labels"))
        loss = game.stakes.discriminator(judged.logits, judged_fake.logits)
        parts = {
            "adversarial_loss": loss,
            "logit_real": judged.logits.mean(),
            "logit_fake": judged_fake.logits.mean(),
        }
        if game.distillation is not None:
            taught = Both(game.encoder(real_seen.detach()), game.encoder(fake_seen))
            terms = game.distillation(Both(judged.feature, judged_fake.feature), taught)
            loss = loss + torch.stack(list(terms.values())).sum()
            parts |= terms
        if "r1" in batch:
            parts["r1"] = gradient_penalty(judged.logits, real)
            loss = loss + game.keys.r1 * game.keys.r1_every * parts["r1"]
        game.adapt(judged.logits)
        return {"loss": loss, **parts}


class GeneratorTurn(nn.Module):
    """loss = the game's + path·every·the path length's deviation. The discriminator gets no gradient."""

    def __init__(self, game: Game):
        super().__init__()
        self.game = game

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        game = self.game
        seen = game.augmented(game.make(batch), batch["chances"][:, :CHANCES])
        with frozen(game.discriminator):
            loss = game.stakes.generator(game.discriminator(seen, batch.get("fake_labels")).logits)
        if "path" not in batch:
            return {"loss": loss}
        deviation = self._path_penalty(batch)
        return {"loss": loss + game.keys.path * game.keys.path_every * deviation, "path_deviation": deviation}

    def _path_penalty(self, batch: Mapping[str, Tensor]) -> Tensor:
        generator, drawn = self.game.generator, drawn_for(batch)
        assert isinstance(generator, StyledGenerator)  # `validate` refuses a path weight with any other
        latent = batch["latent"][: max(1, len(batch["latent"]) // _PATH_SHARE)]
        styles = generator.styles(latent, drawn=drawn)
        images = generator.synthesise(styles, drawn=drawn)
        noise = torch.randn(images.shape, generator=drawn, device=images.device)
        return path_penalty(path_lengths(images, styles, noise), self.game.path_mean)

"""The recipe keys of the game between generator and discriminator."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Game:
    """networks: as `distill.generation.models.build` takes them. conditional: on the images' classes.

    stakes: both players' losses, hinge or logistic. turns: of the discriminator in each step, before the generator's
    one; each has real images of its own. augment: what all images go through before they are judged, by commas among
    colour, translation and cutout; "" for nothing. adaptive: how sure of real images the discriminator may be (mean
    sign of its logits, 0 to 1) before they are augmented more; 0 augments always. adaptive_images: how many images take
    the augmented share from 0 to 1.
    r1, path: weights of the gradient penalty and of the path length's, 0 for none; they are taken every `r1_every` and
    `path_every` steps, with as many times their weight. patience: steps that a discriminator may be right, or say
    nothing, on end before the run is stopped.
    """

    networks: str = "biggan_digits"
    conditional: bool = True
    stakes: str = "hinge"
    turns: int = 4
    augment: str = "translation,cutout"
    adaptive: float = 0.0
    adaptive_images: int = 500_000
    r1: float = 0.0
    r1_every: int = 16
    path: float = 0.0
    path_every: int = 4
    patience: int = 500

    @property
    def augmentations(self) -> list[str]:
        """The names in `augment`."""
        return [name.strip() for name in self.augment.split(",") if name.strip()]

"""The shapes of ViDT: one dataclass, and the published models as its values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class VidtConfig:
    """Every shape of a ViDT; those that the published models share are defaults.

    Body: embed, channels of the first stage, twice as many in each that follows. depths, heads: blocks and attention
    heads of each stage. window, patch: edges of an attention window in patches and of a patch in pixels. drop_path:
    share of images that the last block is skipped for in training, less before it, none at the first.
    Neck: queries, its [DET] tokens. width: of tokens and levels. neck_layers, neck_heads, neck_hidden: of its decoder.
    points: that a head looks at in a level. groups: of the normalisation of levels. dropout: in training.
    """

    embed: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int = 7
    patch: int = 4
    drop_path: float = 0.0
    queries: int = 100
    width: int = 256
    neck_layers: int = 6
    neck_heads: int = 8
    neck_hidden: int = 1024
    points: int = 4
    groups: int = 32
    dropout: float = 0.1

    @property
    def stage_widths(self) -> list[int]:
        """Channels of each stage."""
        return [self.embed * 2**stage for stage in range(len(self.depths))]

    @property
    def level_widths(self) -> list[int]:
        """Channels of each level as the body gives it: of all stages but the first, and of the last one merged."""
        return [*self.stage_widths[1:], self.width]


def _on_scenes(*, embed: int, neck_hidden: int) -> VidtConfig:
    return VidtConfig(
        embed,
        *((1, 3, 1, 1), (1, 2, 4, 8)),
        window=8,
        patch=2,
        queries=20,
        width=64,
        neck_layers=3,
        neck_heads=4,
        neck_hidden=neck_hidden,
        groups=8,
        dropout=0.0,
    )


PRESETS: dict[str, VidtConfig] = {
    "vidt_nano": VidtConfig(48, (2, 2, 6, 2), (3, 6, 12, 24)),
    "vidt_tiny": VidtConfig(96, (2, 2, 6, 2), (3, 6, 12, 24), drop_path=0.2),
    "vidt_small": VidtConfig(96, (2, 2, 18, 2), (3, 6, 12, 24), drop_path=0.3),
    "vidt_base": VidtConfig(128, (2, 2, 18, 2), (4, 8, 16, 32), drop_path=0.3),
    # For scenes of 64 to 96 px, on two CPU cores. No dropout: with 20 queries it is noise without a benefit.
    "vidt_micro": VidtConfig(
        *(16, (1, 1, 2, 1), (1, 2, 4, 8)),
        window=4,
        queries=20,
        width=64,
        neck_layers=2,
        neck_heads=4,
        neck_hidden=128,
        groups=8,
        dropout=0.0,
    ),
    # Student and teacher on scenes of 64 px, on two CPU cores. Patches of 2 px, as a digit's ink is drawn in squares of
    # 3 to 4; of 4 px a teacher finds the same boxes and tells digits apart more slowly.
    "vidt_pico": _on_scenes(embed=8, neck_hidden=128),
    "vidt_mini": _on_scenes(embed=16, neck_hidden=256),
}

"""ViDT: a fully transformer-based detector; its body, the projections to one width, its neck."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from distill.detection.models.body import Body
from distill.detection.models.config import VidtConfig
from distill.detection.models.deformable import Memory
from distill.detection.models.detector import Detections, Detector
from distill.detection.models.neck import Neck
from distill.detection.models.padding import resize


class Vidt(Detector):
    """ViDT with auxiliary predictions and iterative box refinement, as in its paper's main results.

    A level's normalisation runs over the whole padded map, and windows see padding, so an image's detections depend
    somewhat on how much it is padded; they don't depend on the other images of its batch.
    Source: Song et al., "ViDT: an efficient and effective fully transformer-based object detector", ICLR 2022.
    """

    def __init__(self, config: VidtConfig, classes: int):
        super().__init__()
        self.config = config
        self.classes, self.queries, self.token_dim = classes, config.queries, config.width
        self.stride = 2 * config.patch  # the first stage's grid is no level
        self.body = Body(config)
        self.level_projections = nn.ModuleList(_projection(each, config) for each in config.level_widths)
        self.det_projection = _projection(config.stage_widths[-1], config)
        self.position_projection = _projection(config.width, config)
        self.neck = Neck(config, classes)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], padding: Bool[Tensor, "batch height width"]
    ) -> Detections:
        maps, det = self.body(images, padding)
        levels = [projection(each) for projection, each in zip(self.level_projections, maps, strict=True)]
        level_padding = [resize(padding, (level.shape[2], level.shape[3])) for level in levels]
        det = _of_tokens(self.det_projection, det)
        positions = _of_tokens(self.position_projection, self.body.det_positions.repeat(1, 1, 1))
        logits, boxes, tokens = self.neck(det, positions, Memory.of(levels, level_padding))
        return Detections(logits, boxes, levels, level_padding, det, tokens)

    def checkpointing(self, on: bool) -> None:
        self.body.is_checkpointed = self.neck.is_checkpointed = on


def _projection(width: int, config: VidtConfig) -> nn.Sequential:
    convolution = nn.Conv2d(width, config.width, 1)
    for parameter in convolution.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)
    return nn.Sequential(convolution, nn.GroupNorm(config.groups, config.width))


def _of_tokens(projection: nn.Module, tokens: Float[Tensor, "batch queries _"]) -> Float[Tensor, "batch queries dim"]:
    """Project tokens as a map of one column, so that they are normed over all of them."""
    return projection(tokens.mT[..., None])[..., 0].mT

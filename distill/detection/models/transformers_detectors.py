"""transformers' Deformable DETR, by its name on the hub, its local folder, or on a Swin of ours to name."""

from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from distill import extras
from distill.detection.models.detector import Detections, Detector
from distill.detection.models.padding import resize
from distill.errors import ModelError

DEFAULT = "deformable-detr"
_FAMILY = "deformable_detr"
_CURE = f"take hf:{DEFAULT}, hf:SenseTime/deformable-detr, or a folder with such a config.json"
_EPS = 1e-5  # of its own inverse sigmoid


def build(name: str, classes: int | None = None, *, is_pretrained: bool = False) -> "DeformableDetr":
    """Return the detector of a hub name such as SenseTime/deformable-detr, of a folder, or DEFAULT.

    DEFAULT is transformers' own configuration with box refinement, on a Swin of tiny's shape instead of a ResNet.
    Pretrained weights keep everything but heads of other classes; without `classes`, those too.

    Raises: MissingExtraError; ModelError if its files can't be had, or it is another family or of two stages.
    """
    transformers = extras.load("transformers", needed_by=f"detector hf:{name}")
    try:
        config = _default(transformers) if name == DEFAULT else transformers.AutoConfig.from_pretrained(name)
        if config.model_type != _FAMILY or config.two_stage:
            got = f"of family '{config.model_type}'" if config.model_type != _FAMILY else "of two stages"
            raise ModelError(f"hf:{name}", f"expected a Deformable DETR of one stage, got one {got}", cure=_CURE)
        if classes not in (None, config.num_labels):  # setting it drops the classes' names
            config.num_labels = classes
        kind = transformers.DeformableDetrForObjectDetection
        if not is_pretrained:
            return DeformableDetr(f"hf:{name}", kind(config))
        return DeformableDetr(f"hf:{name}", kind.from_pretrained(name, config=config, ignore_mismatched_sizes=True))
    except ModelError:
        raise
    except OSError as error:
        raise ModelError.no_weights(f"hf:{name}", error) from error
    except ValueError as error:  # an unknown architecture, or a config that contradicts itself
        raise ModelError(f"hf:{name}", " ".join(str(error).split()), cure=_CURE) from error


class DeformableDetr(Detector):
    """Deformable DETR. It has no [DET] tokens in its body: body_tokens are its learned queries, alike for all images.

    Its levels are what its encoder reads. Every layer predicts; none comes before the first.
    Source: Zhu et al., "Deformable DETR", ICLR 2021.
    """

    def __init__(self, name: str, model: Any):
        super().__init__()
        self.name, self.model = name, model
        config = model.config
        self.classes, self.queries, self.token_dim = config.num_labels, config.num_queries, config.d_model
        self.stride = 8  # of every Deformable DETR: it reads a backbone's last three maps
        for key, module in model.named_modules():
            # Its Swin norms the last stage once more, for classifiers: DDP would wait for gradients that never come.
            if key.endswith("backbone.model.swin.layernorm"):
                module.requires_grad_(False)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], padding: Bool[Tensor, "batch height width"]
    ) -> Detections:
        base = self.model.model
        levels: list[Tensor] = []
        with ExitStack() as hooks:
            for projection in base.input_proj:
                hooks.enter_context(
                    projection.register_forward_hook(lambda module, inputs, level: levels.append(level))
                )
            found = base(images, (~padding).long())
        tokens = found.intermediate_hidden_states.transpose(0, 1)  # (layers, batch, queries, dim)
        starts = [found.init_reference_points, *found.intermediate_reference_points.transpose(0, 1)]
        # transformers gives the predictions of inner layers only beside a loss of its own.
        heads = zip(self.model.class_embed, self.model.bbox_embed, tokens, starts, strict=False)
        logits, boxes = zip(*(_predicted(*each) for each in heads), strict=True)
        level_padding = [resize(padding, (level.shape[2], level.shape[3])) for level in levels]
        target = base.query_position_embeddings.weight[:, self.token_dim :].expand(images.shape[0], -1, -1)
        return Detections(torch.stack(logits), torch.stack(boxes), levels, level_padding, target, tokens)

    def checkpointing(self, on: bool) -> None:
        if on:
            self.model.activation_checkpointing_enable()
        else:
            self.model.activation_checkpointing_disable()


def _predicted(class_head: Any, box_head: Any, tokens: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    moved = torch.nn.functional.pad(start.logit(_EPS), (0, 4 - start.shape[-1]))
    return class_head(tokens), (box_head(tokens) + moved).sigmoid()


def _default(transformers: Any) -> Any:
    body = transformers.SwinConfig(out_features=["stage2", "stage3", "stage4"])
    return transformers.DeformableDetrConfig(backbone_config=body, with_box_refine=True)

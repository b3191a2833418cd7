"""Small models of every kind that `distill.models.build` knows, untrained, for images of 3 × 32 × 32."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from distill import extras, models
from distill.models import Backbone

SIZE, CHANNELS, CLASSES = 32, 3, 7


@dataclass(frozen=True)
class Case:
    """last: the submodule whose output is the map. block: what checkpointing computes again; "" where it can't be."""

    last: str
    head_pools: bool
    block: str


OURS = {
    "convnet": Case("stages", True, ""),
    "deit": Case("norm", False, "blocks.0"),
    "deit_ti": Case("norm", False, "blocks.0"),
    "deit_s": Case("norm", False, "blocks.0"),
}
TIMM = {
    "timm:test_vit": Case("norm", False, "blocks.0"),
    "timm:test_vit4": Case("norm", True, "blocks.0"),  # its head pools
    "timm:deit_tiny_distilled_patch16_224": Case("norm", False, "blocks.0"),
    "timm:test_convnext": Case("stages", True, "stages.0.blocks.0"),
    "timm:test_resnet": Case("layer4", True, "layer1.0"),
    "timm:swin_tiny_patch4_window7_224": Case("norm", True, "layers.0.blocks.0"),  # channels last
    "timm:regnety_002.pycls_in1k": Case("s4", True, "s1.b1"),
}
_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "patch_size": 8}
_CNN = {"hidden_sizes": [8, 16], "depths": [1, 1]}
_SWIN = {"patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "hf:vit": ("ViTConfig", _VIT),
    "hf:deit": ("DeiTConfig", _VIT),
    "hf:deit with teacher": ("DeiTConfig", _VIT | {"architectures": ["DeiTForImageClassificationWithTeacher"]}),
    "hf:dinov2 with registers": ("Dinov2WithRegistersConfig", _VIT),
    "hf:beit": ("BeitConfig", _VIT),
    "hf:swin": ("SwinConfig", _SWIN),
    "hf:convnext": ("ConvNextConfig", _CNN | {"num_stages": 2}),
    "hf:regnet": ("RegNetConfig", _CNN | {"embedding_size": 8, "groups_width": 8}),
}
HF = {
    "hf:vit": Case("vit.layernorm", False, "vit.layers.0.attention"),
    "hf:deit": Case("deit.layernorm", False, "deit.layers.0.attention"),
    "hf:deit with teacher": Case("deit.layernorm", False, "deit.layers.0.attention"),
    "hf:dinov2 with registers": Case(
        "dinov2_with_registers.layernorm", False, "dinov2_with_registers.encoder.layer.0.attention"
    ),
    "hf:beit": Case("beit.layernorm", True, "beit.layers.0.attention"),
    "hf:swin": Case("swin.layernorm", True, "swin.encoder.layers.0.blocks.0.attention"),
    "hf:convnext": Case("convnext.encoder", True, ""),
    "hf:regnet": Case("regnet.encoder", True, ""),
}
CASES = OURS | TIMM | HF


def build(name: str, weights: str = "") -> Backbone:
    """Return a case's model, in evaluation mode."""
    known = _hf_folder(name) if name in _CONFIGS else name
    return models.build(known, classes=CLASSES, image_size=SIZE, channels=CHANNELS, weights=weights).eval()


@cache
def _hf_folder(name: str) -> str:
    transformers = extras.load("transformers", needed_by="tests")
    config, options = _CONFIGS[name]
    folder = Path(mkdtemp(prefix="small-model-"))
    getattr(transformers, config)(**options, image_size=SIZE).save_pretrained(folder)
    return f"hf:{folder}"

"""Any image classifier of transformers, by its name on the hub or its local folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from distill import extras
from distill.errors import ModelError
from distill.models.backbone import Backbone, Normalisation, Output, Wanted
from distill.models.weights import refuse_misfits

_IMAGE_SIZE = 224
_PREPROCESSOR = "preprocessor_config.json"
_TOKENS = ("cls_token", "distillation_token", "register_tokens")
# Head over pooled features, for the families whose head pools: what is between the pooling and the classifier.
_AFTER_POOLING: dict[str, Callable[[Any], nn.Module]] = {
    "swin": lambda base: nn.Identity(),
    "swinv2": lambda base: nn.Identity(),
    "regnet": lambda base: nn.Identity(),
    "resnet": lambda base: nn.Identity(),
    "convnext": lambda base: base.layernorm,
    "convnextv2": lambda base: base.layernorm,
    "beit": lambda base: base.pooler.layernorm,
}


def build(name: str, wanted: Wanted) -> "TransformersBackbone":
    """Return the image classifier of a hub name such as facebook/deit-tiny-patch16-224, or of a folder.

    What is None stays as the model has it. Pretrained weights keep everything but a head of other classes.

    Raises: MissingExtraError; ModelError if its files can't be had, or its weights don't fit.
    """
    transformers = extras.load("transformers", needed_by=f"model hf:{name}")
    try:
        config = transformers.AutoConfig.from_pretrained(name)
        # Convolutional families have no image size of their own: it is noted in their config all the same.
        config.image_size = wanted.image_size or getattr(config, "image_size", _IMAGE_SIZE)
        config.num_channels = wanted.channels or config.num_channels
        if wanted.classes not in (None, config.num_labels):  # setting it drops the classes' names
            config.num_labels = wanted.classes
        model = _pretrained(transformers, name, config) if wanted.is_pretrained else _untrained(transformers, config)
        backbone = TransformersBackbone(f"hf:{name}", model)
        if wanted.is_pretrained:
            backbone.normalisation = _normalisation(transformers, name)
        return backbone
    except ModelError:
        raise
    except OSError as error:
        raise ModelError.no_weights(f"hf:{name}", error) from error
    except (RuntimeError, ValueError) as error:  # an unknown architecture, or a size that it doesn't take
        raise ModelError.refused(f"hf:{name}", error) from error


class TransformersBackbone(Backbone):
    """An image classifier of transformers'. Its map is its base model's last hidden state without special tokens."""

    def __init__(self, name: str, model: Any):
        super().__init__()
        self.name, self.model = name, model
        config = model.config
        self.image_size, self.channels = config.image_size, config.num_channels
        self.classes = config.num_labels
        tokens = [parameter for key, parameter in model.named_parameters() if key.split(".")[-1] in _TOKENS]
        self.special = sum(token.shape[-2] for token in tokens)
        # One pass gives both logits and last hidden state: the base model's output is seen on its way to the head.
        model.base_model.register_forward_hook(_keep)
        self.feature_dim = self._probe()

    def forward(self, pixels: Float[Tensor, "batch channels size size"]) -> Output:
        answer = self.model(pixels)
        base = self.model.base_model
        hidden, base.kept = base.kept, None
        return Output(answer.get("cls_logits", answer.logits), answer.get("distillation_logits"), self.as_map(hidden))

    def classify(self, feature: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        after_pooling = _AFTER_POOLING.get(self.model.config.model_type)
        if after_pooling is None:
            raise ModelError.no_pooled_head(self.name)
        return self.model.classifier(after_pooling(self.model.base_model)(feature))

    def checkpointing(self, on: bool) -> None:
        if not on:
            self.model.activation_checkpointing_disable()
        elif not self.model.supports_gradient_checkpointing:
            raise ModelError(self.name, "it has no gradient checkpointing", cure="turn it off")
        else:
            self.model.activation_checkpointing_enable()

    def save(self, folder: Path | str) -> None:
        self.model.save_pretrained(folder)
        if self.normalisation:
            _write_normalisation(Path(folder), self.normalisation, self.image_size)

    @property
    def native(self) -> nn.Module:
        return self.model

    @torch.no_grad()
    def _probe(self) -> int:
        """Return the channels of the last hidden state, of one black image.

        Raises: ModelError if it is no map, before anything is trained on it.
        """
        was_training = self.training
        output = self.eval()(torch.zeros(1, self.channels, self.image_size, self.image_size))
        self.train(was_training)
        return output.map.shape[1]


def _keep(base: nn.Module, inputs: Any, output: Any) -> None:
    # On the base itself, not in a closure: a deep copy of the model, such as an average of weights, has its own.
    base.kept = output.last_hidden_state


def _untrained(transformers: Any, config: Any) -> Any:
    config.architectures = config.architectures or []  # without, transformers 5.24 trips over DeiT's two classifiers
    return transformers.AutoModelForImageClassification.from_config(config)


def _pretrained(transformers: Any, name: str, config: Any) -> Any:
    model, found = transformers.AutoModelForImageClassification.from_pretrained(
        name, config=config, ignore_mismatched_sizes=True, output_loading_info=True
    )
    base = f"{model.base_model_prefix}."
    mismatched = [entry[0] for entry in found["mismatched_keys"]]
    wrong = {
        "missing": sorted(key for key in found["missing_keys"] if key.startswith(base)),
        "of another shape": sorted(key for key in mismatched if key.startswith(base)),
    }
    refuse_misfits(f"hf:{name}", name, wrong)
    return model


def _normalisation(transformers: Any, name: str) -> Normalisation | None:
    """Return what a model's image processor does to pixels; None if it has no processor."""
    try:
        content, _ = transformers.image_processing_base.ImageProcessingMixin.get_image_processor_dict(name)
    except OSError:
        return None
    if "image_mean" not in content:
        return None
    return Normalisation(tuple(content["image_mean"]), tuple(content["image_std"]))


def _write_normalisation(folder: Path, normalisation: Normalisation, size: int) -> None:
    content = {"do_normalize": True, "image_mean": normalisation.mean, "image_std": normalisation.std}
    content["size"] = {"height": size, "width": size}
    (folder / _PREPROCESSOR).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

"""Intermediate features by name: what submodules put out on the way, as spatial maps.

with intermediate(student, ["blocks.3", "blocks.7"]) as maps:
    output = student(pixels)
loss = loss + distillation(maps["blocks.3"].mean((-2, -1)), target)
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn

from distill.errors import ModelError
from distill.models.backbone import Backbone
from stiefel.errors import UnknownNameError

_NEAR = 5  # names that an error lists


@contextmanager
def intermediate(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Give the maps (batch, channels, height, width) of the named submodules, of the last forward pass inside.

    model: a Backbone, or what wraps the first one in it: DDP, torch.compile, a task's module. names: of
    `layer_names`. Gradients flow through the maps; hooks are gone afterwards, also after an exception. By default
    torch.compile runs what it compiled before without looking for new hooks: that is refused at the end.

    Raises: UnknownNameError with near names; ModelError for an output that is no map, or a layer that didn't run.
    """
    backbone = _backbone(model)
    layers = dict(backbone.native.named_modules())
    unknown = [name for name in names if not name or name not in layers]
    if unknown:
        near = get_close_matches(unknown[0], layers, n=_NEAR) or [name for name, _ in backbone.native.named_children()]
        raise UnknownNameError("layer", unknown[0], near)
    maps: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in names:
            hooks.enter_context(layers[name].register_forward_hook(_recorder(backbone, maps, name)))
        yield maps
    silent = [name for name in names if name not in maps]
    if silent:
        cure = (
            "call the model inside the context; where it is compiled, set "
            "torch._dynamo.config.skip_nnmodule_hook_guards = False before"
        )
        raise ModelError(type(backbone).__name__, f"its layers {', '.join(silent)} didn't run", cure=cure)


def layer_names(model: nn.Module) -> list[str]:
    """Return the names that `intermediate` takes, as the model's library calls them.

    Raises: ModelError if there is no Backbone in `model`.
    """
    return [name for name, _ in _backbone(model).native.named_modules() if name]


def _backbone(model: nn.Module) -> Backbone:
    found = next((module for module in model.modules() if isinstance(module, Backbone)), None)
    if found is None:
        cure = "build it by distill.models.build, or subclass distill.models.Backbone"
        raise ModelError(type(model).__name__, "there is no Backbone in it", cure=cure)
    return found


def _recorder(backbone: Backbone, maps: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Any], None]:
    def record(layer: nn.Module, inputs: Any, output: Any) -> None:
        # transformers' layers may give tuples, the features first.
        maps[name] = backbone.as_map(output if isinstance(output, Tensor) else output[0])

    return record

"""A Swin that was trained to classify, read into the body of a ViDT: what published detectors start from."""

from collections.abc import Mapping

from torch import Tensor

from distill.detection.models.vidt import Vidt
from distill.detection.models.vidt_weights import renamed
from distill.models.weights import refuse_misfits

_FIRST = "patch_embed.proj.weight"
# Of a classifier: its head, its last norm, and masks that follow from its image size.
_UNUSED = ("head.", "norm.")
_MASK = "attn_mask"


def is_of_a_body(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is a Swin's by itself, under the names of its public code."""
    return _FIRST in state


def load_body(detector: Vidt, state: Mapping[str, Tensor], source: str) -> None:
    """Load a Swin's weights into a ViDT's body. [DET] tokens, which a Swin has none of, and all else stay untrained.

    Raises: ModelError naming what is missing, what is too much and whose shape differs.
    """
    public = {
        f"backbone.{key}": value
        for key, value in state.items()
        if not key.startswith(_UNUSED) and not key.endswith(_MASK)
    }
    found = renamed(public, source)
    last = f"body.stages.{len(detector.config.depths) - 1}.merge."
    wanted = {
        key: value
        for key, value in detector.state_dict().items()
        if key.startswith("body.") and "det_" not in key and not key.startswith(last)
    }
    wrong = {
        "missing": [key for key in wanted if key not in found],
        "unexpected": [key for key in found if key not in wanted],
        "of another shape": [key for key in wanted if key in found and wanted[key].shape != found[key].shape],
    }
    refuse_misfits("vidt", source, wrong)
    detector.load_state_dict(found, strict=False)

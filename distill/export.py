"""`distill export`: a trained run's student, without its projector, as files that load anywhere."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from distill import extras, tasks
from distill import recipe as recipes
from distill.checkpoint import load_average, load_weights
from distill.errors import ModelError, RunFolderError
from distill.models import Backbone, from_pretrained
from distill.run_folder import CONFIG, run_of
from distill.tasks.classification import Classification

ONNX = "model.onnx"


def export(source: Path, folder: Path, *, onnx: bool, is_averaged: bool = False) -> list[Path]:
    """Write the student of a run, or of one of its checkpoints, to `folder` and return the files.

    config.json and model.safetensors load by `distill.models.from_pretrained`; those of a timm or transformers
    student in its library too. is_averaged: the moving average's weights instead of the last step's. model.onnx
    takes pixels (batch, channels, size, size) of any batch.

    Raises: RunFolderError, CheckpointError, ModelError, and what building the run's task raises.
    """
    if folder.exists() and any(folder.iterdir()):
        raise RunFolderError(folder, "holds something already", "choose another folder with --out")
    task_name, config = recipes.read(run_of(source) / CONFIG)
    task = tasks.get(task_name).untaught(config)
    if not isinstance(task, Classification):
        raise RunFolderError(source, f"holds a {task_name} run", "export one of classification")
    state = load_weights(task.module, source)
    if is_averaged:
        if "average" not in state:
            raise RunFolderError(source, "holds no moving average", "train with --scale.average, or export without it")
        load_average(task.kept, state)
    task.student.save(folder)
    if onnx:
        # What was written, not what was trained: it takes pixels as config.json says.
        write_onnx(from_pretrained(folder), folder / ONNX)
    return sorted(folder.iterdir())


def write_onnx(model: Backbone, path: Path) -> None:
    """Write a model's logits, and those of its distillation head if it has one, as an ONNX graph.

    Raises: MissingExtraError; ModelError for a model that torch can't export.
    """
    for package in ("onnx", "onnxscript"):
        extras.load(package, needed_by="an ONNX file")
    pixels = torch.zeros(2, model.channels, model.image_size, model.image_size)
    has_two_heads = model.eval()(pixels[:1]).distillation_logits is not None
    try:
        with warnings.catch_warnings():
            # torch 2.13 uses what it deprecates itself.
            warnings.filterwarnings("ignore", "`isinstance\\(treespec, LeafSpec\\)` is deprecated", FutureWarning)
            torch.onnx.export(
                _Logits(model).eval(),
                (pixels,),
                path,
                input_names=["pixels"],
                output_names=["logits", "distillation_logits"][: 1 + has_two_heads],
                dynamic_shapes={"pixels": {0: "batch"}},
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = f"torch can't turn it into an ONNX graph ({str(error).splitlines()[0]})"
        raise ModelError(type(model).__name__, reason, cure="export it without --onnx") from error


class _Logits(nn.Module):
    """A backbone that answers with tensors alone."""

    def __init__(self, model: Backbone):
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        output = self.model(pixels)
        second = output.distillation_logits
        return (output.logits,) if second is None else (output.logits, second)

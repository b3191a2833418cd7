"""`distill export`: a trained run's student, without its projector, as files that load anywhere."""

from pathlib import Path
from typing import cast

from distill import recipe as recipes
from distill import tasks
from distill.checkpoint import load_average, load_weights
from distill.errors import RunFolderError
from distill.graph import write_onnx
from distill.run_folder import CONFIG, create, is_empty, run_of
from distill.task import ExportableTask

ONNX = "model.onnx"


def export(source: Path, folder: Path, *, onnx: bool, is_averaged: bool = False) -> list[Path]:
    """Write the student of a run, or of one of its checkpoints, to `folder` and return the files.

    config.json and model.safetensors load by `from_pretrained` of `distill.models`, or of `distill.detection.models`;
    those of a timm or transformers student in its library too. is_averaged: the moving average's weights instead of
    the last step's. onnx: whether model.onnx lies beside them, which takes a batch of any size.

    Raises: RunFolderError, CheckpointError, ModelError, and what building the run's task raises.
    """
    if folder.exists() and not is_empty(folder):
        raise RunFolderError(folder, "holds something already", "choose another folder with --out")
    task_name, config = recipes.read(run_of(source) / CONFIG)
    kind = tasks.get(task_name)
    if not issubclass(kind, ExportableTask):
        can = " or ".join(name for name in tasks.TASKS if issubclass(tasks.get(name), ExportableTask))
        cure = f"export one of {can}; a generator's images are what `distill sample` writes"
        raise RunFolderError(source, f"holds a {task_name} run", cure)
    task = cast(ExportableTask, kind.untaught(config))
    state = load_weights(task.module, source)
    if is_averaged:
        if "average" not in state:
            raise RunFolderError(source, "holds no moving average", "train with --scale.average, or export without it")
        load_average(task.kept, state)
    create(folder)
    task.save(folder)
    if onnx:
        write_onnx(task.graph(folder), folder / ONNX)
    return sorted(folder.iterdir())

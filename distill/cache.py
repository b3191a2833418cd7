"""A frozen teacher's answers to every training image, kept on disk: for runs whose augmentation is fixed.

`teacher.cache: FOLDER` computes them once; later runs and epochs read rows instead of running the teacher.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Int
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from distill import layers
from distill.config import ClassificationConfig, Data
from distill.data import Source, transform_fingerprint
from distill.errors import CacheError, RecipeError, RunFolderError
from distill.lock import locked
from distill.models import Backbone
from distill.run_folder import write_atomically

# Rows of a shard: one of pooled features 3024 wide takes 50 MB.
_ROWS = 4096
_BATCH = 256
_COMPLETE = "complete.json"


def check_fixed(data: Data) -> None:
    """Raise RecipeError naming the key by which an image would look different each time it is seen."""
    keys = {"mixup": data.mixup, "cutmix": data.cutmix, "erasing": data.erasing}
    moving = [key for key, value in keys.items() if value > 0]
    if data.augment not in ("none", "shift") or (data.augment == "shift" and data.shift > 0):
        moving.append("augment")
    if moving:
        cure = "turn it off, or leave teacher.cache empty"
        raise RecipeError(f"data.{moving[0]}", "a fixed augmentation with teacher.cache", "one that varies", cure=cure)


class TeacherCache:
    """Rows by an image's number in the data set: `logits`, and `feature.K` of the K-th pair of layers.

    A folder holds safetensors shards under the hash of the teacher's weights, the images, what is done to them and the
    layers asked for; `complete.json` is written last, and a killed computation goes on at the first missing shard.
    """

    def __init__(self, folder: Path, names: Sequence[str]):
        self.folder, self.names = folder, names
        self._count = json.loads((folder / _COMPLETE).read_text(encoding="utf-8"))["rows"]
        self._shards = [safe_open(_shard(folder, number), "pt") for number in range(-(-self._count // _ROWS))]

    def __getitem__(self, index: Int[Tensor, "batch"]) -> dict[str, Tensor]:
        """Return the rows of images, on the CPU; maps of dense features are (batch, dim, height, width).

        Raises: CacheError for a number that the cache has no row for.
        """
        numbers = index.tolist()
        if max(numbers) >= self._count:
            raise CacheError(self.folder, f"it has no row {max(numbers)}, only {self._count}")
        parts = [divmod(number, _ROWS) for number in numbers]
        return {
            name: torch.stack([self._shards[shard].get_slice(name)[row] for shard, row in parts]) for name in self.names
        }


def names(config: ClassificationConfig) -> list[str]:
    """Return the names of the rows that a recipe needs."""
    return ["logits", *(f"feature.{number}" for number in range(len(layers.parse(config.layers))))]


def prepare(config: ClassificationConfig, teacher: Backbone, images: Source) -> Path:
    """Return the folder of a recipe's teacher's answers to all images of a data set, computed now if need be.

    Cost: one forward pass of the teacher over the data set, once. Disk: 4 bytes a number.
    Raises: RecipeError if the augmentation isn't fixed; CacheError if the folder can't be written.
    """
    check_fixed(config.data)
    pairs = [pair.teacher for pair in layers.parse(config.layers)]
    folder = Path(config.teacher.cache) / _key(config, teacher, images, pairs)
    if not (folder / _COMPLETE).exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder, patience=math.inf):  # of runs that start together one computes them for all
                if not (folder / _COMPLETE).exists():
                    _compute(folder, teacher.eval(), images, pairs, is_pooled=config.tokens == "pooled")
        except (OSError, RunFolderError) as error:
            raise CacheError(folder, f"it can't be written ({error})") from error
    return folder


def _key(config: ClassificationConfig, teacher: Backbone, images: Source, pairs: Sequence[str]) -> str:
    content = hashlib.sha256()
    for name, tensor in teacher.state_dict().items():
        content.update(name.encode())
        content.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.ndim else b"")
    told = [asdict(config.teacher) | {"cache": ""}, images.fingerprint(), transform_fingerprint(config.data)]
    content.update(json.dumps([*told, list(pairs), config.tokens]).encode())
    return content.hexdigest()[:32]


def _compute(folder: Path, teacher: Backbone, images: Source, pairs: Sequence[str], *, is_pooled: bool) -> None:
    for first in range(0, len(images), _ROWS):
        path = _shard(folder, first // _ROWS)
        if not path.exists():
            part = images.subset(torch.arange(first, min(first + _ROWS, len(images))))
            write_atomically(path, save(_rows(teacher, part, pairs, first=first, is_pooled=is_pooled)))
    write_atomically(folder / _COMPLETE, json.dumps({"rows": len(images)}) + "\n")


@torch.no_grad()
def _rows(teacher: Backbone, images: Source, pairs: Sequence[str], *, first: int, is_pooled: bool) -> dict[str, Tensor]:
    device = next(teacher.parameters()).device
    rows: dict[str, Tensor] = {}
    for batch in images.evaluation(_BATCH):
        output, maps = layers.run(teacher, batch["pixels"].to(device), pairs)
        found = {"logits": output.logits}
        for number, each in enumerate(maps):
            found[f"feature.{number}"] = each.mean((-2, -1), keepdim=True) if is_pooled else each
        for name, values in found.items():
            values = values.float().cpu()
            # An image that can't be decoded keeps a row of zeros: training puts another one in its place.
            rows.setdefault(name, torch.zeros(len(images), *values.shape[1:]))
            rows[name][batch["index"].cpu() - first] = values
    return rows


def _shard(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.safetensors"

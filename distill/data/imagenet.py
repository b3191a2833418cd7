"""ImageNet as it is unpacked: train/n01440764/*.JPEG, and val in class folders or flat beside a list of its labels."""

import os
import re
from pathlib import Path

from distill.config import Data
from distill.data.files import Files
from distill.data.folder import held_out_of, is_image, listed, root_of, same_classes, scan
from distill.errors import DataError

# Beside val: lines "ILSVRC2012_val_00000001.JPEG 65" (numbers in the order of the wnids), or Kaggle's own list,
# "ILSVRC2012_val_00000001,n01751748 111 108 370 289".
MAPPINGS = ("val.txt", "LOC_val_solution.csv")


def load(data: Data) -> tuple[Files, Files]:
    """Return the (training, validation) images; classes are numbered in the order of their wnids.

    Raises: RecipeError without a folder; DataError for folders that are no wnids, and for a flat val without labels.
    """
    root = root_of(data.path)
    if not (root / "train").is_dir():
        raise DataError(root, "folders train and val", "no train", cure="set data.name=folder for other layouts")
    train, val = scan(root / "train"), held_out_of(root)
    strange = [name for name in train if not re.fullmatch(r"n\d{8}", name)]
    if strange:
        cure = "set data.name=folder for classes of any name"
        raise DataError(root / "train", "folders named by wnids, such as n01440764", strange[0], cure=cure)
    with os.scandir(val) as entries:
        is_flat = not any(entry.is_dir() for entry in entries)
    held_out = _flat(val, list(train)) if is_flat else scan(val)
    same_classes(root, train, held_out)
    return listed(root / "train", train, data), listed(val, held_out, data)


def _flat(val: Path, wnids: list[str]) -> dict[str, list[bytes]]:
    """Return the images of a flat folder by their wnid."""
    mapping = next((val.parent / name for name in MAPPINGS if (val.parent / name).is_file()), None)
    if mapping is None:
        cure = "write lines 'ILSVRC2012_val_00000001.JPEG n01751748' there, or sort the images into folders"
        raise DataError(val, f"{' or '.join(MAPPINGS)} beside a flat val", "neither", cure=cure)
    labels = _labels(mapping, wnids)
    held_out: dict[str, list[bytes]] = {wnid: [] for wnid in wnids}
    for name in sorted(os.listdir(val)):
        stem = name.split(".")[0]
        if is_image(name):
            if stem not in labels:
                raise DataError(mapping, f"a label for every image in {val}", f"none for {name}", cure="add its line")
            held_out[labels[stem]].append(os.fsencode(name))
    return {wnid: names for wnid, names in held_out.items() if names}


def _labels(mapping: Path, wnids: list[str]) -> dict[str, str]:
    """Return the wnid of each name without its suffix."""
    labels, known = {}, set(wnids)
    for number, line in enumerate(mapping.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or words[0] == "ImageId":
            continue
        label = words[1] if len(words) > 1 else ""
        if label.isdecimal() and int(label) < len(wnids):
            label = wnids[int(label)]
        if label not in known:
            expected = f"a name, then a wnid of train or a number below {len(wnids)}"
            raise DataError(f"{mapping}, line {number}", expected, repr(line), cure="mend that line")
        labels[words[0].split(".")[0]] = label
    return labels

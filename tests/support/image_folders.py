"""Folders and shards of small images made for a test, whole and broken ones."""

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("ant", "bee", "cat")


def picture(seed: int, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> Image.Image:
    """Return a smooth picture whose content is a function of `seed`."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Return the bytes of a file that holds the image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int) -> bytes:
    """Return the bytes of picture `seed`."""
    return encoded(picture(seed))


def write(path: Path, content: bytes) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def make_folder(root: Path, *, per_class: int = 6, parts: tuple[str, ...] = ("train", "val")) -> Path:
    """Write root/part/class/NN.jpg, every picture another one; without parts, root/class/NN.jpg."""
    seed = 0
    for part in parts or ("",):
        for label in CLASSES:
            for number in range(per_class):
                write(root / part / label / f"{number:02d}.jpg", jpeg(seed))
                seed += 1
    return root


def make_shards(root: Path, *, per_shard: int = 6, shards: int = 3, parts: tuple[str, ...] = ("train", "val")) -> Path:
    """Write root/part-NNNNNN.tar by the webdataset package, labels 0, 1, 2, 0, …"""
    import webdataset

    root.mkdir(parents=True, exist_ok=True)
    for part in parts:
        with webdataset.ShardWriter(str(root / f"{part}-%06d.tar"), maxcount=per_shard, verbose=0) as writer:
            for number in range(per_shard * shards):
                sample = {"__key__": f"{part}/{number:04d}", "jpg": jpeg(number), "cls": number % len(CLASSES)}
                writer.write(sample)
    return root


@cache
def broken_files() -> dict[str, bytes]:
    """Return the content of files that hold no whole image."""
    whole = jpeg(1)
    return {
        "cut_off.jpg": whole[: len(whole) // 2],
        "empty.jpg": b"",
        "text.jpg": b"this is no picture\n",
        "zeros.jpg": bytes(2000),
        "cut_off.png": encoded(picture(2), "PNG")[:200],
        "bomb.png": encoded(Image.new("1", (14000, 14000)), "PNG"),
    }


@cache
def odd_files() -> dict[str, bytes]:
    """Return the content of files that hold an image in an uncommon form."""
    sixteen = Image.fromarray((np.arange(48 * 40, dtype=np.uint16) * 30).reshape(40, 48))
    palette = picture(3).quantize(16)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    return {
        "cmyk.jpg": encoded(picture(1, mode="CMYK")),
        "grey.jpg": encoded(picture(1, mode="L")),
        "sixteen_bits.png": encoded(sixteen, "PNG"),
        "alpha.png": encoded(picture(1, mode="RGBA"), "PNG"),
        "grey_alpha.png": encoded(picture(1, mode="LA"), "PNG"),
        "palette.png": encoded(palette, "PNG", transparency=bytes(range(16))),
        "palette.gif": encoded(palette, "GIF"),
        "bits.png": encoded(picture(1, mode="1"), "PNG"),
        "one_pixel.png": encoded(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"),
        "strip.png": encoded(picture(1, size=(3000, 1)), "PNG"),
        "rotated.jpg": encoded(picture(1), exif=rotated),
        "webp.jpg": encoded(picture(1), "WEBP"),
    }

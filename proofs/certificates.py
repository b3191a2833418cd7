"""Certificates for people: what a path names, and the text of what is certified of it."""

from pathlib import Path

from torch import nn

from distill import checkpoint, tasks
from distill.errors import CheckpointError
from distill.recipe import read
from distill.run_folder import CONFIG
from proofs.formal.kernel import unsuitable
from stiefel.certificate import Certificate, CertifiedMatrix

_KINDS = {
    "plain": "a tensor of the file",
    "point": "a tensor of the file: the parameter is the point itself",
    "base": "a tensor of the file: the base of a parameterisation, not the weight that it computes",
}


def subject(target: Path) -> tuple[Path, nn.Module | None]:
    """Return the checkpoint that `target` names, and of a run folder of `distill train` the module that it belongs to.

    Of other folders, a teacher's among them, the last checkpoint alone.
    Raises: CheckpointError for a folder without one or with a damaged one; RecipeFileError, RecipeError.
    """
    if not target.is_dir():
        return target, None
    found = checkpoint.paths(target)
    if not found:
        raise CheckpointError(target / "checkpoints", "there is none", previous=None)
    if not (target / CONFIG).is_file():
        return found[-1], None
    task_name, config = read(target / CONFIG)
    if task_name not in tasks.TASKS:
        return found[-1], None
    module = tasks.get(task_name).untaught(config).module
    checkpoint.load_weights(module, target)
    return found[-1], module


def as_text(certificate: Certificate) -> str:
    """Return the certificate for people; no figure is smaller than the certified one."""
    tensors, matrices = len(certificate.tensors), len(certificate.matrices)
    head = (
        f"certified: {certificate.file}, {tensors} {'tensor' if tensors == 1 else 'tensors'}, "
        f"{matrices} orthonormal {'matrix' if matrices == 1 else 'matrices'}\n"
        f"  SHA-256 {certificate.sha256}\n"
        f"  rigorous bounds by {certificate.arithmetic}, see docs/certificates.md\n"
    )
    left_out = "".join(f"not certified: {name}: {reason}\n" for name, reason in certificate.uncertified.items())
    if any(each.proved is not None for each in certificate.matrices):
        left_out += "".join(f"not proved: {name}: {reason}\n" for name, reason in unproved(certificate).items())
    return "\n".join([head, *map(_paragraph, certificate.matrices), left_out]).rstrip() + "\n"


def unproved(certificate: Certificate) -> dict[str, str]:
    """Return the matrices that Coq's kernel can't be asked about, and why."""
    reasons = {
        each.tensor: unsuitable(each.tall_shape, is_complex=each.dtype.startswith("complex"))
        for each in certificate.matrices
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _paragraph(each: CertifiedMatrix) -> str:
    product, images = ("XᵀX", "⟨Xu, Xv⟩") if each.side == "columns" else ("XXᵀ", "⟨uX, vX⟩")
    origin = _KINDS.get(each.kind) or f"the weight that '{each.parameterisation}' computes from tensors of the file"
    lines = [
        f"{each.tensor}   {_size(each)} {each.dtype}, orthonormal {each.side}",
        origin,
        f"‖{product} − I‖_F ≤ {_figure(each.frobenius)}    ‖{product} − I‖₂ ≤ {_figure(each.spectral)}    "
        f"LAPACK ratio {each.lapack_ratio:.5g} of 30",
        f"for all u, v: |{images} − ⟨u, v⟩| ≤ {_figure(each.spectral)}·‖u‖·‖v‖",
        f"an exactly orthonormal matrix lies within {_figure(each.frobenius)} in the Frobenius norm",
    ]
    if each.map_distance is not None:
        lines.append(f"the exact value of '{each.parameterisation}' lies within {_figure(each.map_distance)}")
    elif each.parameterisation is not None:
        lines.append(f"no bound is known for its distance to the exact value of '{each.parameterisation}'")
    if each.proved is not None:
        lines.append(
            f"proved by {each.proved}:\n    ‖{product} − I‖_F ≤ {_figure(each.frobenius)}, "
            f"and for all u, v: |{images} − ⟨u, v⟩| ≤ {_figure(each.frobenius)}·‖u‖·‖v‖"
        )
    return "\n  ".join(lines) + "\n"


def _figure(bound: float) -> str:
    return f"{bound:.4e}" if bound else "0"


def _size(each: CertifiedMatrix) -> str:
    size = " × ".join(map(str, each.shape))
    if len(each.shape) == 2:
        return size
    *batch, n, p = each.tall_shape
    rows, columns = (n, p) if each.side == "columns" else (p, n)
    return f"{size} (as {'a matrix' if not batch else 'matrices'} {rows} × {columns})"

"""Certificates on disk: written as JSON, read back strictly, and compared with the file that they speak of."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from torch import Tensor, nn

from stiefel.certificate import Certificate, CertifiedMatrix, Prove, StoredTensor, certify
from stiefel.diagnose import UnreadableError
from stiefel.errors import StiefelError

VERSION = 1
_EVIDENCE = "certified"
_CLAIMS = ("frobenius", "spectral", "entry", "lapack_ratio", "map_distance")
_IDENTITY = ("shape", "side", "tall_shape", "dtype", "parameterisation")
_Record = TypeVar("_Record")


class CertificateError(StiefelError):
    """A file that holds no certificate of ours."""

    def __init__(self, path: Path, reason: str):
        self.path, self.reason = path, reason
        super().__init__(f"can't read certificate {str(path)!r}: {reason}; write one with 'proofs certify … --json'")


@dataclass(frozen=True)
class Comparison:
    """What comparing a certificate with a file showed, in sentences.

    differences: what refutes the certificate. unchecked: claims that couldn't be compared here, and why.
    """

    differences: tuple[str, ...]
    unchecked: tuple[str, ...]


def to_json(certificate: Certificate) -> str:
    """Return the certificate as JSON; `read` gives an equal one back."""
    document = {"evidence": _EVIDENCE, "version": VERSION, **asdict(certificate)}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read(path: Path) -> Certificate:
    """Return the certificate in a JSON file.

    Raises: CertificateError if it can't be read, is of another version, or lacks something.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise CertificateError(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise CertificateError(path, "it isn't whole JSON") from error
    if not isinstance(document, dict) or document.pop("evidence", None) != _EVIDENCE:
        raise CertificateError(path, "it holds no certificate")
    if (version := document.pop("version", None)) != VERSION:
        raise CertificateError(path, f"expected version {VERSION}, got {version!r}")
    try:
        for key, kind in (("tensors", StoredTensor), ("matrices", CertifiedMatrix)):
            document[key] = [_record(kind, each) for each in document[key]]
        return _record(Certificate, document)
    except (AttributeError, KeyError, TypeError) as error:
        raise CertificateError(path, f"a field is missing or of another kind ({error})") from error


def compare(
    certificate: Certificate, path: Path, *, module: nn.Module | None = None, prove: Prove | None = None
) -> Comparison:
    """Compare a certificate with a checkpoint: every hash, and every claim with a bound computed anew.

    Claims about computed weights need the `module` that `certify` had; they are compared where it computes the very
    same bits. What is claimed to be proved needs the `prove` that `certify` had, and is proved anew.
    Raises: UnreadableError if there is no such file; NonFiniteError with the name of a tensor that holds NaN.
    """
    differences, unchecked = [], []
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != certificate.sha256:
        differences.append(f"{path.name} isn't the certified file: its SHA-256 differs")
    proved = {each.tensor for each in certificate.matrices if each.proved is not None}

    def again(name: str, tall: Tensor, bound: float) -> str | None:
        return prove(name, tall, bound) if prove is not None and name in proved else None

    try:
        now = certify(path, module=module, prove=again, margin=0.0)
    except UnreadableError as error:
        if not differences:
            raise
        return Comparison((*differences, str(error)), ())
    differences += _tensor_differences(certificate, now)
    found = {(each.tensor, each.kind): each for each in now.matrices}
    for claimed in certificate.matrices:
        each = found.get((claimed.tensor, claimed.kind))
        if each is None and claimed.kind == "weight" and module is None:
            unchecked.append(f"{claimed.tensor}: computed by {claimed.parameterisation}; give the run folder")
        elif each is None:
            differences.append(f"{claimed.tensor}: no such orthonormal {claimed.kind} matrix in the file")
        elif claimed.kind == "weight" and each.sha256 != claimed.sha256:
            unchecked.append(f"{claimed.tensor}: {claimed.parameterisation} gives other last digits on this machine")
        else:
            differences += _refuted(claimed, each)
            if claimed.proved is not None and prove is None:
                unchecked.append(f"{claimed.tensor}: proved by {claimed.proved}; to prove it anew takes Coq")
            elif claimed.proved not in (None, each.proved):
                differences.append(f"{claimed.tensor}: claims a proof by {claimed.proved}, got {each.proved}")
    return Comparison(tuple(differences), tuple(unchecked))


def _tensor_differences(certificate: Certificate, now: Certificate) -> Iterator[str]:
    before, after = ({each.name: each for each in which.tensors} for which in (certificate, now))
    for name in before:
        if name not in after:
            yield f"{name}: certified, but not in the file"
        elif before[name] != after[name]:
            yield f"{name}: its values, shape or dtype aren't the certified ones"
    for name in after:
        if name not in before:
            yield f"{name}: in the file, but not certified"


def _refuted(claimed: CertifiedMatrix, now: CertifiedMatrix) -> Iterator[str]:
    for field in _IDENTITY:
        if getattr(claimed, field) != getattr(now, field):
            yield f"{claimed.tensor}: certified {field} {getattr(claimed, field)}, got {getattr(now, field)}"
    if claimed.sha256 != now.sha256:
        yield f"{claimed.tensor}: its {claimed.kind} matrix has another SHA-256 than the certified one"
    for field in _CLAIMS:
        claim, bound = getattr(claimed, field), getattr(now, field)
        # Written so that NaN is refused.
        if claim is not None and bound is not None and not bound <= claim:
            yield f"{claimed.tensor}: claims {field} <= {claim:.4e}, but can be bounded by {bound:.4e} only"


def _record(kind: type[_Record], content: dict[str, Any]) -> _Record:
    """Return a dataclass from what JSON made of it; a missing, unknown or mistyped field is a TypeError."""
    record = kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})
    for name, hint in get_type_hints(kind).items():
        expected = get_origin(hint) if get_origin(hint) in (tuple, dict) else hint
        if not isinstance(getattr(record, name), expected):
            raise TypeError(f"'{name}' is {getattr(record, name)!r}")
    return record


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no claim")

"""Build the Coq files: all of them anew to hold their axioms against the allowed ones, or once for certificates."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from proofs.errors import BuildFailed, CoqMissing
from proofs.formal.statements import CLASSICAL, SOURCES, Theorem, assumptions, audit, files, forbidden, theorems


@dataclass
class Report:
    """Every theorem that Coq accepted with the axioms of its file, and one sentence for everything that is wrong."""

    proved: dict[Theorem, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check(*, sources: Path = SOURCES) -> Report:
    """Build the Coq files of the folder `sources` and return what is proved, on which axioms.

    Takes 38 s of CPU time on two cores, 0.65 GB a process at most.

    Raises: CoqMissing if Coq or mathcomp isn't installed.
    """
    _require_coq()
    named = theorems(sources=sources)
    problems = [f"{path.name} contains {word}" for path in files(sources) for word in forbidden(path.read_text())]
    problems += [f"{theorem.name} has no (** statement *) above it" for theorem in named if not theorem.statement]
    with tempfile.TemporaryDirectory(prefix="proofs-formal-") as folder:
        built, output = _build(sources, Path(folder), "all")
        if built:
            (Path(folder) / "audit.v").write_text(audit(named))
            built, output = _run(["coqc", "-Q", ".", "StiefelFormal", "audit.v"], Path(folder))
    if not built:
        return Report(problems=[*problems, f"the build failed:\n{output}"])
    axioms = assumptions(output)
    proved = {theorem: axioms[theorem.file] for theorem in named if theorem.file in axioms}
    problems += [f"Coq said nothing about {theorem.name}" for theorem in named if theorem not in proved]
    problems += [
        f"{file} rests on {axiom}" for file, used in axioms.items() for axiom in used if axiom not in CLASSICAL
    ]
    return Report(proved, problems)


def compiled(name: str, *, sources: Path = SOURCES) -> Path:
    """Return a folder that holds the Coq file `name` and what it rests on, compiled: built on first use, then kept.

    integers.v takes 10 s. Kept in the user's cache, under a name that changes with the sources, Coq and mathcomp.

    Raises: CoqMissing if Coq or mathcomp isn't installed; BuildFailed with what Coq said.
    """
    folder = _cache() / f"{name}-{_fingerprint(sources, _require_coq())}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=folder.parent) as parent:
        fresh = Path(parent) / name
        fresh.mkdir()
        built, output = _build(sources, fresh, f"{name}.vo")
        if not built:
            raise BuildFailed(name, output)
        # In one step, as another process may look; where that one was quicker, its folder stays.
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def is_coq_here() -> bool:
    """Whether what building the proofs needs is installed."""
    try:
        _require_coq()
    except CoqMissing:
        return False
    return True


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stiefel-distill"


def _fingerprint(sources: Path, library: Path) -> str:
    """Return a name for the sources, this Coq and this mathcomp: coqc refuses files compiled with another one."""
    digest = hashlib.sha256(subprocess.run(["coqc", "--version"], capture_output=True, check=True).stdout)
    mathcomp = library / "user-contrib/mathcomp"
    for path in (*files(sources), mathcomp / "algebra/all_algebra.vo", mathcomp / "zify/ssrZ.vo"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _require_coq() -> Path:
    """Return where Coq's library is."""
    missing = [program for program in ("coqc", "coq_makefile", "make") if shutil.which(program) is None]
    if missing:
        raise CoqMissing(", ".join(missing))
    where = Path(subprocess.run(["coqc", "-where"], capture_output=True, text=True, check=True).stdout.strip())
    for package in ("analysis", "zify"):
        if not (where / "user-contrib/mathcomp" / package).is_dir():
            raise CoqMissing(f"mathcomp-{package}")
    return where


def _build(sources: Path, folder: Path, target: str) -> tuple[bool, str]:
    """Compile copies of the sources up to a target; return whether that worked and what was printed at the end."""
    for path in (*files(sources), sources / "_CoqProject"):
        shutil.copy(path, folder)
    made, output = _run(["coq_makefile", "-f", "_CoqProject", "-o", "Makefile"], folder)
    return _run(["make", "-j2", target], folder) if made else (made, output)


def _run(command: list[str], folder: Path) -> tuple[bool, str]:
    run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return run.returncode == 0, run.stdout

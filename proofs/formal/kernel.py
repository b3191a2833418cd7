"""Let Coq's kernel check the claim about one concrete matrix: its floats are integers over a power of two.

The matrix and the claim are written into a file that applies the theorem of integers.v to them.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from proofs.errors import KernelFailed, Refused
from proofs.formal.build import compiled
from proofs.formal.statements import CLASSICAL, assumptions

# A 64 × 64 matrix takes 6 s in float32 and 12 s in float64; the products grow with the cube of the size.
LARGEST = 64
_SECONDS, _MIB = 300, 4096
_THEOREM = "accepted_rows_keep_inner_products"
_REFUSAL = 'The term "erefl true" has type'

_LITERALS = """\
Definition rows_{index} : list (list Z) := [
{rows}].
Definition scale_{index} : Z := {scale}.
"""
_CERTIFIED = """\
Theorem certified_{index} (R : realFieldType) (P := matrix_of R {n} scale_{index} rows_{index})
    (d := value R top / value R bottom) :
  sqnorm (P *m P^T - 1%:M) <= d ^+ 2 /\\
  forall x y, (inner (x *m P) (y *m P) - inner x y) ^+ 2 <= d ^+ 2 * (inner x x * inner y y).
Proof. apply: {theorem}. vm_cast_no_check (erefl true). Qed.
"""
# The literals come before mathcomp, whose own integers are unary.
_FILE = """\
From Coq Require Import BinInt List.
Import ListNotations.
Open Scope Z_scope.
{literals}Definition top : Z := {top}.
Definition bottom : Z := {bottom}.
Close Scope Z_scope.
From mathcomp Require Import all_ssreflect all_algebra.
From StiefelFormal Require Import frobenius isometry integers.
Local Open Scope ring_scope.
{theorems}Definition certified := ({names}).
Goal True. idtac "== certified". Abort.
Print Assumptions certified.
"""


def unsuitable(tall_shape: Sequence[int], *, is_complex: bool) -> str | None:
    """Return why Coq's kernel can't be asked about such a matrix, or None if it can."""
    if is_complex:
        return "the theorem is about real matrices"
    n, p = tall_shape[-2:]
    return f"{n} × {p} is more than {LARGEST} × {LARGEST}" if n > LARGEST else None


def prove(name: str, tall: Float[Tensor, "*b n p"], frobenius: float) -> str | None:
    """Have Coq's kernel check ‖XᵀX − I‖_F <= frobenius for the very floats of X, and return how; None if unsuitable.

    What it checks is that bound for P = Xᵀ over every ordered field, and that P keeps inner products to it.
    Cost at 64 × 64: 6 s in float32, 12 s in float64, 0.7 GB. The theorems are built once, in 10 s.
    Raises: CoqMissing; Refused if the claim isn't true; KernelFailed after 300 s, or without 4 GiB of memory.
    """
    if unsuitable(tall.shape, is_complex=tall.is_complex()) is not None:
        return None
    library = compiled("integers")
    with tempfile.TemporaryDirectory(prefix="proofs-kernel-") as folder:
        (Path(folder) / "certified.v").write_text(literal_file(tall, frobenius))
        # The shell sets the limit of Coq alone; a Python process with threads can't safely do so before it starts one.
        limited = ["sh", "-c", f'ulimit -v {_MIB * 1024}; exec "$@"', "sh"]
        coqc = ["coqc", "-w", "none", "-Q", str(library), "StiefelFormal", "certified.v"]
        try:
            run = subprocess.run([*limited, *coqc], cwd=folder, capture_output=True, text=True, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise KernelFailed(name, f"it took longer than {_SECONDS} s") from None
    if run.returncode != 0 and _REFUSAL in run.stderr:
        raise Refused(name, frobenius)
    axioms = assumptions(run.stdout).get("certified")
    if run.returncode != 0 or axioms is None:
        raise KernelFailed(name, (run.stderr.strip() or "it said nothing").splitlines()[-1])
    if wrong := set(axioms) - CLASSICAL:
        raise KernelFailed(name, f"its answer rests on {', '.join(sorted(wrong))}")
    return f"Coq's kernel, theorem {_THEOREM}, axioms: {', '.join(axioms) or 'none'}"


def literal_file(tall: Float[Tensor, "*b n p"], frobenius: float) -> str:
    """Return the Coq file that states the claim for every matrix X of a batch, its floats as exact integers."""
    batch = tall.detach().double().cpu().mT.reshape(-1, tall.shape[-1], tall.shape[-2]).tolist()
    literals, theorems = "", ""
    for index, rows in enumerate(batch):
        numerators, scale = integers(rows)
        lines = ";\n".join(f"[{'; '.join(map(str, row))}]" for row in numerators)
        literals += _LITERALS.format(index=index, rows=lines, scale=scale)
        theorems += _CERTIFIED.format(index=index, n=tall.shape[-2], theorem=_THEOREM)
    top, bottom = frobenius.as_integer_ratio()
    names = ", ".join(f"@certified_{index}" for index in range(len(batch)))
    return _FILE.format(literals=literals, top=top, bottom=bottom, theorems=theorems, names=names)


def integers(rows: list[list[float]]) -> tuple[list[list[int]], int]:
    """Return integers M and a power of two s with M/s the given floats, exactly."""
    ratios = [[value.as_integer_ratio() for value in row] for row in rows]
    scale = max(denominator for row in ratios for _, denominator in row)
    return [[top * (scale // bottom) for top, bottom in row] for row in ratios], scale

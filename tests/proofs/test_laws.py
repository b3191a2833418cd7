"""Every registered map obeys every law that applies to it; maps and laws come from their registries."""

import dataclasses
import math

import pytest
import torch
from hypothesis import settings

import stiefel
from proofs import LAWS, Case, Law
from proofs.cases import STRUCTURES
from proofs.laws.setting import worst
from proofs.oracles import INVERSE_SYMMETRIC, ORACLES
from proofs.profiles import PROFILES
from proofs.verify import judge, verify

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

PAIRS = [(name, law) for name in stiefel.names() for law in LAWS.values()]
REACHED = [(name, law) for name, law in PAIRS if law.exemption(stiefel.get(name)) is None]
EXEMPT = [(name, law) for name, law in PAIRS if law.exemption(stiefel.get(name)) is not None]
# The width of DeiT-Ti in a student of 768 channels, and a square point; the dense map pays n³ here.
REAL_SIZES = [(768, 192), (256, 256)]
# The laws whose cost is a few products of the map's own size.
CHEAP = [LAWS[name] for name in ("on the manifold", "inner products kept", "round trip", "gradient")]

# What isn't measured in roundings of the claim, and why.
NO_MULTIPLE_OF_THE_CLAIM = {
    "retraction order": "a slope, in orders of t",
    "higher gradients": "torch's checks pass or fail",
    "target reached": "the solver's tolerance",
    "saved and copied": "bit for bit",
    "precision kept": "the rounding of bfloat16 storage, 2√n·eps",
    "bad input refused": "an error comes or it doesn't",
}


def pair(value: object) -> str | None:
    return value.name if isinstance(value, Law) else None


def a_case(*, n: int = 6, p: int = 3, dtype: torch.dtype = torch.float64, norm: float = 1.0, seed: int = 0) -> Case:
    return Case(n=n, p=p, batch=(2,), dtype=dtype, structure="dense", norm=norm, base="uniform", seed=seed)


@pytest.mark.parametrize(("name", "law"), REACHED, ids=pair)
def test_every_map_obeys_every_law(name: str, law: Law) -> None:
    profile = PROFILES[settings.get_current_profile_name()]
    finding = judge(law, stiefel.get(name), **dataclasses.asdict(profile))
    assert finding.verdict == "holds", f"ratio {finding.worst}, {finding.note}\n{finding.counterexample}"


@pytest.mark.parametrize(("name", "law"), EXEMPT, ids=pair)
def test_a_law_that_does_not_apply_says_why(name: str, law: Law) -> None:
    finding = judge(law, stiefel.get(name), examples=1)
    assert finding.verdict == "not applicable"
    assert finding.note


@pytest.mark.parametrize("size", REAL_SIZES, ids=str)
@pytest.mark.parametrize("law", CHEAP, ids=pair)
@pytest.mark.parametrize("name", stiefel.names())
def test_every_map_obeys_the_laws_at_the_sizes_of_real_projectors(name: str, law: Law, size: tuple[int, int]) -> None:
    n, p = size
    case = Case(n=n, p=p, batch=(), dtype=torch.float64, structure="dense", norm=1.0, base="uniform", seed=0)
    assert law.ratio(stiefel.get(name), case) <= 1


@pytest.mark.parametrize("law", [law for law in LAWS.values() if law.name not in NO_MULTIPLE_OF_THE_CLAIM], ids=pair)
def test_a_tolerance_is_a_multiple_of_the_claim(law: Law, monkeypatch: pytest.MonkeyPatch) -> None:
    case = a_case(dtype=law.dtypes[0])
    maps = [stiefel.get(name) for name in stiefel.names() if law.exemption(stiefel.get(name)) is None]
    # A defect of zero tells nothing.
    by, tight = next((by, ratio) for by in maps if (ratio := law.ratio(by, case)) > 0)
    monkeypatch.setattr(by, "claims", dataclasses.replace(by.claims, residual=1e6 * by.claims.residual))
    # Laws of differences and kernels add a rounding of their own, at most as large as thirty of the claim's.
    assert law.ratio(by, case) == pytest.approx(1e-6 * tight, rel=0.9)


@pytest.mark.parametrize(
    "name", [name for name, oracle in ORACLES.items() if stiefel.get(name).claims.domain < math.inf]
)
def test_the_dense_definitions_tell_which_maps_are_inverse_symmetric(name: str) -> None:
    case = a_case(n=5, p=5)
    base, step = case.matrices()
    placed = stiefel.get(name)(*case.shape, dtype=case.dtype)
    free = placed.right_inverse(base)
    forth, back = (ORACLES[name](placed, free + sign * step) for sign in (1, -1))
    defect = torch.dist(back, base @ forth.mT @ base)
    assert defect <= 30 * case.unit if name in INVERSE_SYMMETRIC else defect > 0.01


def test_a_dear_law_gets_fewer_cases_but_never_the_simplest_one_alone() -> None:
    seen: list[Case] = []

    def counted(by: type[stiefel.Parameterisation], case: Case) -> float:
        seen.append(case)
        return 0.0

    for examples, expected in ((1, 1), (10, 2), (100, 10)):
        seen.clear()
        judge(Law("counted", counted, cost=10), stiefel.get("cayley"), examples=examples)
        assert len(seen) == expected


@pytest.mark.parametrize("law", LAWS.values(), ids=pair)
def test_every_law_states_itself_in_a_sentence(law: Law) -> None:
    assert law.statement.endswith(".")


def test_a_law_takes_nan_for_a_defect() -> None:
    law = Law("gives NaN", lambda by, case: math.nan)
    assert judge(law, stiefel.get("cayley"), examples=3).verdict == "refuted"
    assert math.isnan(worst([1.0, math.nan]))
    assert math.isnan(worst([math.nan, 1.0]))


def test_a_law_takes_an_exception_for_a_defect_and_quotes_it() -> None:
    def breaks(by: type[stiefel.Parameterisation], case: Case) -> float:
        raise ZeroDivisionError("on purpose")

    finding = judge(Law("breaks", breaks), stiefel.get("cayley"), examples=3)
    assert finding.verdict == "refuted"
    assert finding.note == "ZeroDivisionError: on purpose"


def test_the_search_climbs_and_shrinks() -> None:
    law = Law("small", lambda by, case: case.n / 8)
    finding = judge(law, stiefel.get("cayley"), examples=200)
    assert finding.verdict == "refuted"
    assert finding.worst == 9 / 8
    assert "Case(n=9, p=1," in (finding.counterexample or "")


def test_a_law_that_needs_float64_says_so_when_asked_for_float32() -> None:
    findings = {finding.law: finding for finding in verify(stiefel.get("qr"), examples=1, dtypes=[torch.float32])}
    assert findings["on the manifold"].verdict == "holds"
    assert findings["gradient"].verdict == "not applicable"
    assert "float64" in (findings["gradient"].note or "")


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("base", ["uniform", "axes"])
@pytest.mark.parametrize("size", [(1, 1), (5, 1), (4, 4), (5, 3), (40, 2)], ids=str)
def test_a_case_is_the_same_every_time_and_keeps_its_promises(structure: str, base: str, size: tuple[int, int]) -> None:
    n, p = size
    case = Case(n=n, p=p, batch=(2,), dtype=torch.float64, structure=structure, norm=2.0, base=base, seed=7)
    point, step = case.matrices()
    again = case.matrices()
    assert torch.equal(point, again[0])
    assert torch.equal(step, again[1])
    assert stiefel.residual_in_eps(point) <= 30
    reached = torch.linalg.matrix_norm(step, ord=2)
    # A rotation of the only point's only column has nowhere to go: St(1, 1) is two isolated points.
    stays = n == 1 and structure in ("rotation", "deficient normal")
    expected = torch.full_like(reached, 0.0 if stays else 2.0)
    torch.testing.assert_close(reached, expected, rtol=100 * n * torch.finfo(torch.float64).eps, atol=0)


def test_another_seed_gives_another_case() -> None:
    one, other = (a_case(seed=seed).matrices() for seed in (0, 1))
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[1], other[1])


def test_a_case_is_written_as_the_python_that_builds_it() -> None:
    case = a_case(norm=math.pi)
    assert eval(case.as_python(), {"Case": Case, "torch": torch, "math": math}) == case

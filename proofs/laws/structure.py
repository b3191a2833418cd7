"""Laws of the points themselves: orthonormal, isometric, right at the base, equal to a dense oracle."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from proofs.cases import Case
from proofs.laws.setting import distance, place, size, worst
from proofs.oracles import oracle_of, tangent_part
from stiefel import Parameterisation
from stiefel.geodesics import canonical_inner, log

# A logarithm is asked for up to this canonical length: the injectivity radius is at least 0.89π = 2.8.
_LONGEST = 2.0


def on_the_manifold(by: type[Parameterisation], case: Case) -> float:
    """‖XᵀX − I‖₁ <= residual·n·eps for every free tensor in the domain.

    Taken in float64; for a float64 point that adds at most n·eps per entry of its own, which counts against the map.
    """
    setting = place(by, case)
    defect = _defect(setting.map(setting.free)).abs().sum(-2).amax()
    return float(defect) / (by.claims.residual * case.unit)


def inner_products_kept(by: type[Parameterisation], case: Case) -> float:
    """The projector P = Xᵀ (orthonormal rows) keeps inner products: |⟨xP, yP⟩ − ⟨x, y⟩| <= δ·‖x‖·‖y‖.

    ⟨xP, yP⟩ − ⟨x, y⟩ = x(PPᵀ − I)yᵀ, and ‖PPᵀ − I‖₂ <= ‖PPᵀ − I‖₁.
    """
    setting = place(by, case)
    projector = setting.map(setting.free).detach().double().mT
    x, y = case.random(2, *case.batch, 4, case.p, stream=4)
    defect = ((x @ projector) * (y @ projector)).sum(-1) - (x * y).sum(-1)
    return _largest(defect, _delta(by, case) * x.norm(dim=-1) * y.norm(dim=-1))


def kernels_kept(by: type[Parameterisation], case: Case) -> float:
    """P = Xᵀ keeps the Gram matrix of a batch of features, and the polynomial and RBF kernels built on it.

    With s = ‖x‖·‖y‖ and d = ‖x − y‖ the mean value theorem bounds the change of (1 + ⟨x, y⟩)³ by 3(1 + 2s)²·δs,
    and that of exp(−d²/2) by δd²/2. Evaluating either adds its own rounding, 8·eps of (1 + s)³ and of 1.
    """
    setting = place(by, case)
    projector = setting.map(setting.free).detach().double().mT
    before = case.random(*case.batch, 6, case.p, stream=5)
    after = before @ projector
    delta, eps = _delta(by, case), torch.finfo(torch.float64).eps
    lengths = before.norm(dim=-1)
    s = lengths.unsqueeze(-1) * lengths.unsqueeze(-2)
    squared = _squared_distances(before)
    gram = _largest(after @ after.mT - before @ before.mT, delta * s)
    cubic = (1 + after @ after.mT) ** 3 - (1 + before @ before.mT) ** 3
    polynomial = _largest(cubic, 3 * (1 + 2 * s) ** 2 * delta * s + 8 * eps * (1 + s) ** 3)
    radial = torch.exp(-_squared_distances(after) / 2) - torch.exp(-squared / 2)
    return worst((gram, polynomial, _largest(radial, delta * squared / 2 + 8 * eps)))


def round_trip(by: type[Parameterisation], case: Case) -> float:
    """`right_inverse` of a point of the map's own image gives that point back: ‖X' − X‖₂ <= residual·n·eps.

    Half of it for the way to the nearest orthonormal matrix (‖XᵀX − I‖/2), half for the map's own rounding.
    """
    setting = place(by, case)
    point = setting.map(setting.free).detach()
    again = setting.map(setting.map.right_inverse(point))
    return distance(again, point) / (by.claims.residual * case.unit)


def zero_gives_base(by: type[Parameterisation], case: Case) -> float:
    """After `right_inverse(X0)`, free = 0 gives X0: R(0) = X0 to residual·n·eps."""
    setting = place(by, case)
    return distance(setting.map(torch.zeros_like(setting.base)), setting.base) / (by.claims.residual * case.unit)


def batch_equals_loop(by: type[Parameterisation], case: Case) -> float:
    """A batch of matrices, and `torch.vmap` over free tensors at one base, give what each gives alone.

    Twice residual·n·eps·max(1, ‖F‖): either side may be that far from the exact point.
    """
    setting = place(by, case)
    bases, frees = (tensor.reshape(-1, case.n, case.p) for tensor in (setting.base, setting.free))
    together = setting.map(setting.free).reshape(-1, case.n, case.p)
    single = by(case.n, case.p, dtype=case.dtype)
    defects = []
    for base, free, point in zip(bases, frees, together, strict=True):
        single.right_inverse(base)
        defects.append(distance(single(free), point))
    alone = torch.stack([single(free) for free in frees])
    defects.append(distance(torch.vmap(single)(frees), alone))
    bound = 2 * by.claims.residual * case.unit * size(setting.step)
    return worst(defects) / bound


def equivariant(by: type[Parameterisation], case: Case) -> float:
    """A retraction made of X0 and F alone turns with them: X0 → QX0, F → QF gives QX for orthogonal Q.

    Three times residual·n·eps·max(1, ‖F‖): the rounding of either side, and that of QX0 and QF.
    """
    setting = place(by, case)
    turn = torch.linalg.qr(case.random(case.n, case.n, stream=6)).Q
    point = setting.map(setting.free).detach().double()
    setting.map.right_inverse((turn @ setting.base.double()).to(case.dtype))
    turned = setting.map((turn @ setting.free.double()).to(case.dtype))
    return distance(turned, turn @ point) / (3 * by.claims.residual * case.unit * size(setting.step))


def inverse_symmetric(by: type[Parameterisation], case: Case) -> float:
    """A square point goes back as it came: R(−F) = X0·R(F)ᵀ·X0, as exp(−W) = exp(W)ᵀ and Cayley(−A) = Cayley(A)ᵀ.

    Three times residual·n·eps·max(1, ‖F‖): the rounding of either side, and the defect of X0 on the right.
    """
    setting = place(by, replace(case, p=case.n))
    forth, back = (setting.map(setting.start + sign * setting.step).detach().double() for sign in (1, -1))
    base = setting.base.double()
    return distance(back, base @ forth.mT @ base) / (3 * by.claims.residual * case.unit * size(setting.step))


def logarithm(by: type[Parameterisation], case: Case) -> float:
    """The logarithm undoes the geodesic inside the injectivity radius: log(X0, R(U)) = U for tangents of length <= 2.

    Twice residual·n·eps, for the rounding of either end, times the condition of the logarithm: r/sin r with
    r = √(5/4)·length, 2.8 at length 2 (the sectional curvature of the canonical metric is at most 5/4).
    """
    setting = place(by, case)
    base, step = setting.base.double(), setting.step.double()
    tangent = tangent_part(base, step)
    length = canonical_inner(base, tangent, tangent).clamp_min(_LONGEST**2).sqrt()
    tangent = (tangent * (_LONGEST / length)[..., None, None]).to(case.dtype)
    found = log(setting.base, setting.map(tangent).detach())
    radius = math.sqrt(5 / 4) * _LONGEST
    return distance(found, tangent) / (2 * by.claims.residual * case.unit * radius / math.sin(radius))


def equals_oracle(by: type[Parameterisation], case: Case) -> float:
    """The fast form is the dense float64 definition to residual·n·eps·max(1, ‖F‖) in the spectral norm."""
    setting = place(by, case)
    oracle = oracle_of(by)
    assert oracle is not None, "the law's exemption covers maps without an oracle"
    dense = oracle(setting.map, setting.free.double())
    return distance(setting.map(setting.free), dense) / (by.claims.residual * case.unit * size(setting.step))


def _defect(point: Tensor) -> Tensor:
    wide = point.detach().double()
    return wide.mT @ wide - torch.eye(wide.shape[-1], dtype=wide.dtype)


def _delta(by: type[Parameterisation], case: Case) -> float:
    # The claim, and the float64 rounding of the two products: |fl(xP) − xP| <= p·eps·‖x‖·‖P‖_F = p√p·eps·‖x‖ for
    # x and for y, and n·eps for the sum over n terms; p <= n.
    return by.claims.residual * case.unit + case.n * torch.finfo(torch.float64).eps * (2 * math.sqrt(case.p) + 1)


def _squared_distances(rows: Tensor) -> Tensor:
    return (rows.unsqueeze(-2) - rows.unsqueeze(-3)).square().sum(-1)


def _largest(defect: Tensor, bound: Tensor) -> float:
    # 0/0 (a vector against itself) is no defect; NaN in the defect stays NaN.
    return float(torch.where(defect == 0, 0.0, defect.abs() / bound).amax())

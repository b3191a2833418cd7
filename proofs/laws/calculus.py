"""Laws of the derivatives: a retraction of the claimed order, a projection at the base, gradients that are right.

All in float64, whose differences leave enough digits. The step t = (n·eps)^⅓ balances a central difference's
truncation, t²/6 of a third derivative of size one, with rounding, residual·n·eps/t = residual·t².
"""

import math

import torch
from torch import Tensor

from proofs.cases import Case
from proofs.errors import BrokenLaw
from proofs.laws.setting import Setting, distance, place, size, worst
from proofs.oracles import geodesic, tangent_part
from stiefel import Parameterisation

# Halvings of t from 1/4 at which the error against the geodesic is measured.
_HALVINGS = 6


def derivative_at_base(by: type[Parameterisation], case: Case) -> float:
    """A retraction leaves its base in the direction it is told: DR(0)U = U, by central differences."""
    setting = place(by, case)
    tangent = _unit_tangent(setting)
    t = case.unit ** (1 / 3)
    ahead, behind = (setting.map(setting.start + sign * t * tangent) for sign in (1, -1))
    return distance((ahead - behind) / (2 * t), tangent) / _difference_bound(by, case)


def retraction_order(by: type[Parameterisation], case: Case) -> float:
    """The error against the geodesic of the claimed metric falls as t^(order + 1) when t is halved.

    Half an order of leeway is for the terms of higher order. An order of infinity is the geodesic itself, to
    residual·n·eps, as is an error that is already rounding.
    """
    setting = place(by, case)
    tangent = _unit_tangent(setting)
    steps = [0.25 / 2**k for k in range(_HALVINGS + 1)]
    errors = [
        distance(setting.map(setting.start + t * tangent), geodesic(by.claims.metric, setting.base, t * tangent))
        for t in steps
    ]
    order, rounding = by.claims.retraction_order, by.claims.residual * case.unit
    assert order is not None, "the law's exemption covers maps that are no retraction"
    if math.isinf(order):
        return worst(errors) / rounding
    # A hundred times the rounding bends a slope over one halving by 2/100/ln 2 = 0.03.
    clear = [error for error in errors if not error <= 100 * rounding]
    if len(clear) < 2:
        return errors[-1] / (100 * rounding)
    slope = math.log2(clear[0] / clear[-1]) / (len(clear) - 1)
    return (order + 0.5) / slope if slope > 0 else math.inf


def projection_at_base(by: type[Parameterisation], case: Case) -> float:
    """The derivative at the base is the tangent projection: it lands in the tangent space, J² = J and Jᵀ = J.

    Read off the backward pass, which applies Jᵀ, to residual·n·eps·‖G‖.
    """
    setting = place(by, case)
    first, second = case.random(2, *case.shape, stream=7).to(case.dtype)

    def adjoint(cotangent: Tensor) -> Tensor:
        free = setting.start.clone().requires_grad_()
        return torch.autograd.grad(setting.map(free), free, cotangent)[0]

    image, other = adjoint(first), adjoint(second)
    base, length = setting.base.double(), torch.linalg.matrix_norm(first, ord=2).amax().item()
    tangent = distance(image, tangent_part(base, image.double()))
    idempotent = distance(adjoint(image), image)
    # An inner product is at most ‖·‖_F·‖·‖_F <= p·‖·‖₂·‖·‖₂.
    pair = (image * second).sum((-2, -1)) - (first * other).sum((-2, -1))
    symmetric = float(pair.abs().amax()) / (case.p * torch.linalg.matrix_norm(second, ord=2).amax().item())
    return (tangent + idempotent + symmetric) / (3 * by.claims.residual * case.unit * length)


def gradient(by: type[Parameterisation], case: Case) -> float:
    """The gradient is that of the forward pass: central differences along a direction and along the step."""
    setting = place(by, case)
    upstream = _normalised(case.random(*case.shape, stream=8))
    free = setting.free.clone().requires_grad_()
    (computed,) = torch.autograd.grad(setting.map(free), free, upstream)
    t = case.unit ** (1 / 3)

    def defect(direction: Tensor) -> float:
        ahead, behind = (setting.map(setting.free + sign * t * direction) for sign in (1, -1))
        slope = (upstream * (ahead - behind)).sum((-2, -1)) / (2 * t)
        return float((slope - (computed * direction).sum((-2, -1))).abs().amax())

    directions = _normalised(case.random(*case.shape, stream=9)), _normalised(setting.step)
    return sum(map(defect, directions)) / (2 * _difference_bound(by, case) * size(setting.step))


def higher_gradients(by: type[Parameterisation], case: Case) -> float:
    """First and second derivatives pass torch's gradcheck and gradgradcheck, at the step and exactly at the base."""
    setting = place(by, case)
    t = case.unit ** (1 / 3)
    bound = _difference_bound(by, case) * size(setting.step)
    for where, free in (("at the step", setting.free), ("at the base", setting.start)):
        leaf = free.clone().requires_grad_()
        for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
            if not check(setting.map, leaf, eps=t, atol=bound, rtol=bound, raise_exception=False):
                raise BrokenLaw(f"{check.__name__} fails {where}")
    return 0.0


def forward_mode(by: type[Parameterisation], case: Case) -> float:
    """`torch.func.jvp` agrees with central differences, and forward over reverse with reverse over reverse."""
    setting = place(by, case)
    upstream, direction = (_normalised(case.random(*case.shape, stream=stream)) for stream in (11, 12))
    computed = torch.func.jvp(setting.map, (setting.free,), (direction,))[1]
    t = case.unit ** (1 / 3)
    ahead, behind = (setting.map(setting.free + sign * t * direction) for sign in (1, -1))
    first = distance((ahead - behind) / (2 * t), computed) / _difference_bound(by, case)

    def slope(free: Tensor) -> Tensor:
        return (setting.map(free) * upstream).sum()

    over_reverse = torch.func.jvp(torch.func.grad(slope), (setting.free,), (direction,))[1]
    pull = torch.func.vjp(torch.func.grad(slope), setting.free)[1]
    (twice,) = pull(direction)
    second = distance(over_reverse, twice) / (by.claims.residual * case.unit)
    return worst((first, second)) / size(setting.step)


def transport_is_tangent(by: type[Parameterisation], case: Case) -> float:
    """The derivative at F carries every direction V into the tangent space at the point X: XᵀT + TᵀX = 0, T = DR(F)V.

    That is transport by a differentiated retraction, in forward mode (Absil, Mahony & Sepulchre 2008, section 8.1.2).
    Twice residual·n·eps·max(1, ‖F‖)·‖V‖: the rounding of X and that of T.
    """
    setting = place(by, case)
    direction = _normalised(case.random(*case.shape, stream=13)).to(case.dtype)
    point, carried, *_ = torch.func.jvp(setting.map, (setting.free,), (direction,))
    inner = point.double().mT @ carried.double()
    return distance(inner, -inner.mT) / (2 * by.claims.residual * case.unit * size(setting.step))


def _difference_bound(by: type[Parameterisation], case: Case) -> float:
    return (by.claims.residual + 1) * case.unit ** (2 / 3)


def _unit_tangent(setting: Setting) -> Tensor:
    return tangent_part(setting.base, _normalised(setting.step, order=2))


def _normalised(matrix: Tensor, *, order: int | str = "fro") -> Tensor:
    length = torch.linalg.matrix_norm(matrix, ord=order, keepdim=True)
    return torch.where(length > 0, matrix / length, 0.0)

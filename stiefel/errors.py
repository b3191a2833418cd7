"""Errors of `stiefel`: each takes the facts, keeps them as attributes and writes its own sentence."""

from collections.abc import Iterable


class StiefelError(ValueError):
    """Base of every error that a wrong input raises here: expected, got, what to do."""


class UnknownNameError(StiefelError):
    """A name that stands in no registry."""

    def __init__(self, kind: str, name: object, choices: Iterable[str]):
        self.kind, self.name, self.choices = kind, name, list(choices)
        super().__init__(f"unknown {kind} {name!r}; choose one of {', '.join(self.choices)}")


class PluginError(StiefelError):
    """A `module:Class` that can't be imported, or isn't what the registry holds."""

    def __init__(self, reference: str, reason: str):
        self.reference, self.reason = reference, reason
        super().__init__(f"can't use {reference!r}: {reason}; expected 'module:Class' naming an importable class")


class MissingExtraError(StiefelError):
    """An optional package that isn't installed."""

    def __init__(self, what: str, package: str, *, extra: str):
        self.what, self.package, self.extra = what, package, extra
        super().__init__(f"{what} needs {package}; install `stiefel-distill[{extra}]`")


class ShapeError(StiefelError):
    """A tensor of the wrong shape."""

    def __init__(self, what: str, expected: str, got: Iterable[int], *, cure: str):
        self.what, self.expected, self.got = what, expected, tuple(got)
        super().__init__(f"{what} must have shape {expected}, got {self.got}; {cure}")


class DTypeError(StiefelError):
    """A tensor whose dtype the geometry can't work in."""

    def __init__(self, what: str, expected: str, got: object):
        self.what, self.expected, self.got = what, expected, got
        super().__init__(f"{what} must be {expected}, got {got}; convert it with .float() or .double()")


class NonFiniteError(StiefelError):
    """A tensor that holds NaN or infinity."""

    def __init__(self, what: str, bad: int, total: int):
        self.what, self.bad, self.total = what, bad, total
        super().__init__(
            f"{what} must be finite, got {bad} NaN or infinite entries of {total}; "
            "lower the learning rate or restore the last good checkpoint"
        )


class OutOfReachError(StiefelError):
    """A free tensor so far from its base that its map can't be computed in its dtype."""

    def __init__(self, what: str, limit: float, norm: float):
        self.what, self.limit, self.norm = what, limit, norm
        super().__init__(
            f"{what} must have a spectral norm below about {limit:.0f} in its dtype, got {norm:.2g}; "
            "call stiefel.rebase, or use stiefel.optim.AutoRebase, before it gets there"
        )


class AttachedError(StiefelError):
    """A module whose tensor has a parameterisation already."""

    def __init__(self, module: object, tensor_name: str):
        self.tensor_name = tensor_name
        super().__init__(
            f"{type(module).__name__}.{tensor_name} already has a Stiefel parameterisation; "
            f'call stiefel.detach(module, "{tensor_name}") first to change it'
        )


class NotAttachedError(StiefelError):
    """A module whose tensor has no parameterisation of ours."""

    def __init__(self, module: object, tensor_name: str):
        self.tensor_name = tensor_name
        super().__init__(
            f"{type(module).__name__}.{tensor_name} has no Stiefel parameterisation; "
            f'call stiefel.attach(module, "{tensor_name}", by=…) first'
        )


class NotConvergedError(StiefelError):
    """An iteration that ended short of its tolerance, or at something that isn't the answer."""

    def __init__(self, what: str, residual: float, tolerance: float, iterations: int, *, cure: str):
        self.what, self.residual, self.tolerance, self.iterations = what, residual, tolerance, iterations
        super().__init__(
            f"{what} must end with a residual <= {tolerance:.1e}, got {residual:.1e} "
            f"after {iterations} iterations; {cure}"
        )


class SettingError(StiefelError):
    """A number that an optimiser or a solver can't work with."""

    def __init__(self, what: str, expected: str, got: object):
        self.what, self.expected, self.got = what, expected, got
        super().__init__(f"{what} must be {expected}, got {got}; correct it in the call")


class OffManifoldError(StiefelError):
    """A parameter that was called a point and has no orthonormal columns."""

    def __init__(self, shape: Iterable[int], defect: float):
        self.shape, self.defect = tuple(shape), defect
        super().__init__(
            f"a point must have orthonormal columns, got ‖XᵀX − I‖₁ = {defect:.2g} for shape {self.shape}; "
            "start from stiefel.nearest_point(matrix), or give the matrix to a Euclidean optimiser"
        )


class CostError(StiefelError):
    """A cost that a deterministic solver can't minimise."""

    def __init__(self, got: str, cure: str):
        self.got, self.cure = got, cure
        super().__init__(f"a cost must be one real number that depends on the points alone, got {got}; {cure}")

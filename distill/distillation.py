"""Feature distillation in three lines of anyone's training loop.

distillation = FeatureDistillation(student_dim=192, teacher_dim=3024)
optimiser = stiefel.optim.build(nn.ModuleList([student, distillation]), lr=5e-4)
loss = loss + distillation(student_features, teacher_features)
"""

from jaxtyping import Float
from torch import Tensor, nn

from distill import losses
from distill import normalise as _normalise
from distill import projector as _projector
from distill.errors import WidthError


class FeatureDistillation(nn.Module):
    """loss(projector(student features), normalise(teacher features)): VkD with its defaults.

    student_dim, teacher_dim: widths of the pooled features. projector: orthogonal, linear, mlp or ensemble;
    `by`: the parameterisation of the orthogonal one. normalise: none, standardise or whiten (teacher alone), or a
    module of your own, such as `Whiten` with other settings.
    loss: smooth_l1, mse or logsum. The teacher's features are detached.

    Raises: UnknownNameError with the valid names; WidthError where features don't have the announced widths.
    """

    def __init__(
        self,
        student_dim: int,
        teacher_dim: int,
        *,
        projector: str = "orthogonal",
        by: str = "cayley",
        normalise: str | nn.Module = "standardise",
        loss: str = "smooth_l1",
    ):
        super().__init__()
        self.student_dim, self.teacher_dim = student_dim, teacher_dim
        self.projector = _projector.build(projector, student_dim, teacher_dim, by=by)
        is_name = isinstance(normalise, str)
        self.normalise = _normalise.build(normalise, teacher_dim) if is_name else normalise
        self.loss = losses.build(loss)

    def forward(
        self, student: Float[Tensor, "batch student"], teacher: Float[Tensor, "batch teacher"]
    ) -> Float[Tensor, ""]:
        if student.shape[-1] != self.student_dim or teacher.shape[-1] != self.teacher_dim:
            expected = f"student and teacher features of width {self.student_dim} and {self.teacher_dim}"
            raise WidthError("feature distillation", expected, (student.shape[-1], teacher.shape[-1]))
        return self.loss(self.projector(student), self.normalise(teacher.detach()))

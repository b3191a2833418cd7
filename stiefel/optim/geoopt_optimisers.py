"""geoopt's optimisers, for parameters on manifolds that aren't ours."""

from typing import Any

import geoopt


class ResumableRiemannianAdam(geoopt.optim.RiemannianAdam):
    """geoopt's, resumable bit for bit.

    It counts steps in a Python number, which torch's Adam turns into a float32 tensor on loading: the bias
    correction is then rounded otherwise than in a run that was never interrupted.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state["step"] = int(state["step"])

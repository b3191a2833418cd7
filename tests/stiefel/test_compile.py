"""torch.compile changes nothing: the whole map is one graph, its point and its gradient those of eager mode."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import stiefel

PROGRAM = Path(__file__).parents[1] / "support" / "compiled_maps.py"
COMPILED = [name for name in stiefel.names() if stiefel.get(name).claims.optimiser == "any"]


@pytest.fixture(scope="module")
def errors() -> dict[str, float]:
    done = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_map_is_one_graph_with_the_eager_point_and_gradient(name: str, errors: dict[str, float]) -> None:
    # The compiler can't read the norm, so the exponential squares six times: 2⁶ roundings.
    assert errors[name] <= 64

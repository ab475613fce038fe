"""The training step in double precision against what the published code computed (shared/golden/README.md)."""

import pytest
from golden_steps import CASES, deviations, worst

#: largest relative deviation of a quantity; any other is held to EQUAL. Both are far above what rounding in double precision
#: comes to (1e-12), and far below what any difference of method does
BOUNDS = {"logits": 1e-12, "completion": 0}
EQUAL = 1e-9


@pytest.mark.parametrize("case", CASES)
def test_training_equals_the_published_code(case, shared):
    """Logits, completion targets, and of every parameter gradient, value and change, of every running statistic the same."""
    found = deviations(case, shared, "float64")
    assert len(found) == 10 and all(found.values())
    for quantity, (value, name) in worst(found).items():
        assert value <= BOUNDS.get(quantity, EQUAL), (quantity, name, value)

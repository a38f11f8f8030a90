"""Random expressions on edge rows: whatever is compiled answers as DuckDB does, in value, type and bits."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings

from include.features.compiled.values import NotCompiled
from tests.features.compiled.engine import Comparison
from tests.features.compiled.random_expressions import features

pytestmark = pytest.mark.filterwarnings("error::SyntaxWarning")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return Comparison()


@given(features())
@hypothesis_settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_what_is_compiled_answers_as_duckdb_does(comparison: Comparison, feature: tuple[str, str]) -> None:
    expression, kind = feature
    try:
        different, _ = comparison.differences(expression, kind, comparison.rows(expression, combined=150))
    except NotCompiled:
        assume(False)
    assert different[:1] == [], expression

"""What answers rest on: shares, what is hidden, and when it counts as a jump."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from include.evaluation.explanation import HIDDEN, Explained, describe, explain, judge_jump


def explained(**sizes: float) -> Explained:
    """Contributions whose mean sizes are these."""
    signs = np.tile([1.0, -1.0], 50)
    contributions = pd.DataFrame({name: size * signs for name, size in sizes.items()})
    return Explained(contributions, dict.fromkeys(sizes, signs), "log-odds")


def test_shares_add_up_and_the_largest_comes_first() -> None:
    found = describe(explained(a=1.0, b=3.0), None, hidden=set())
    json.dumps(found, allow_nan=False)
    assert [(one["name"], one["share"], one["before"]) for one in found["features"]] == [
        ("b", 0.75, None),
        ("a", 0.25, None),
    ]
    assert all(sum(one["counts"]) == 100 for one in found["summary"])
    assert judge_jump(found, version=1, limit=0.1) is None


@pytest.mark.parametrize(("limit", "jumped"), [(0.5, True), (0.51, False)])
def test_a_jump_is_the_part_of_the_importance_that_lies_elsewhere(limit: float, jumped: bool) -> None:
    found = describe(explained(a=1.0, b=3.0), explained(a=3.0, b=1.0), hidden=set())
    jump = judge_jump(found, version=4, limit=limit)
    assert jump is not None
    assert (jump["change"], jump["jumped"], jump["version"]) == (0.5, jumped, 4)
    assert "50.0% of the importance lies elsewhere than in champion version 4" in jump["reason"]


def test_inputs_that_only_one_of_the_two_has_count() -> None:
    jump = judge_jump(describe(explained(a=1.0), explained(b=1.0), hidden=set()), version=4, limit=0.9)
    assert jump is not None
    assert (jump["change"], sorted(jump["moved"])) == (1.0, ["a", "b"])


def test_what_is_made_from_personal_columns_counts_under_no_name() -> None:
    found = describe(explained(a=1.0, name=1.0, age=2.0), None, hidden={"name", "age"})
    assert {one["name"]: one["share"] for one in found["features"]} == {"a": 0.25, HIDDEN: 0.75}
    assert [one["name"] for one in found["summary"]] == ["a"]


def test_nothing_that_moves_the_answers_is_no_error() -> None:
    found = describe(explained(a=0.0), explained(a=0.0), hidden=set())
    jump = judge_jump(found, version=1, limit=0.1)
    assert jump is not None
    assert jump["change"] == 0


def test_a_model_that_cannot_explain_itself_says_so_and_one_that_breaks_says_why() -> None:
    class Broken:
        def explain_rows(self, _rows: object) -> None:
            raise ValueError("no such column")

    rows = pd.DataFrame({"a": [1.0]})
    assert explain(object(), rows, most=5, seed=1) == "This model cannot explain its answers."
    said = explain(Broken(), rows, most=5, seed=1)
    assert isinstance(said, str)
    assert "ValueError: no such column" in said
    assert describe(said, None, hidden=set())["features"] == []

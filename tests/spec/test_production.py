"""The sections deployment and serving: short forms of stages, and what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from include.spec.production import Deployment, Stage


def test_stages_are_read_from_their_short_forms() -> None:
    stages = ["shadow", {"canary": 10}, {"ab": {"share": 40, "length": "14d", "metric": "roc_auc"}}, "champion"]
    deployment = Deployment.model_validate({"stages": stages})
    assert [stage.name for stage in deployment.stages] == ["shadow", "canary_10", "ab_40", "champion"]
    assert deployment.stages[2].length == timedelta(days=14)


def test_a_stage_written_out_is_the_same_as_its_short_form() -> None:
    short = Stage.model_validate({"canary": 2.5})
    assert Stage.model_validate(short.model_dump()) == short
    assert short.name == "canary_2_5"


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        (["shadow"], "must end with champion"),
        (["champion", "champion"], "must end with champion"),
        ([{"canary": 10}, "shadow", "champion"], "shadow can only be the first"),
        ([{"canary": 50}, {"canary": 10}, "champion"], "must rise"),
        ([{"canary": 0}, "champion"], "share over 0"),
        ([{"canary": 101}, "champion"], "less than or equal to 100"),
        (["canary", "champion"], "share over 0"),
        ([{"ab": {"share": 50}}, "champion"], "must have one"),
        ([{"shadow": {"length": "1d"}}, "champion"], "A/B test"),
        (["blue_green", "champion"], "'shadow', 'canary', 'ab' or 'champion'"),
    ],
)
def test_stages_that_make_no_sense_are_refused_with_the_cure(stages: list[object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Deployment.model_validate({"stages": stages})

"""The steps of a retirement one after the other, as Airflow calls them: JSON from one to the next."""

from __future__ import annotations

import json

import pytest

from include.registry.refusals import NotRetiredNow
from include.steps.protocol import Document
from tests.privacy.life import DAYS, MODEL, Life

pytestmark = pytest.mark.database


def passed_on(document: Document) -> Document:
    """What the next task gets."""
    return dict(json.loads(json.dumps(document)))


def test_the_steps_pass_each_other_what_they_need_and_can_be_run_again(life: Life) -> None:
    said = {"actor": "ana", "reason": "replaced by another model"}
    for _ in range(2):
        drained = passed_on(life.step("drain", drain_minutes=0, **said))
        retired = passed_on(life.step("retire", drained=drained, **said))
        archived = passed_on(life.step("archive", retired=retired, actor="ana"))
        freed = passed_on(life.step("free", retired=retired, actor="ana"))
        assert archived["archive"].startswith(f"archive/{MODEL}/")
        assert freed["restorable_until"] == retired["restorable_until"]
    assert (archived["is_new"], freed["features"], freed["files"]) == (False, 0, 0)
    assert life.digests("features") == {}
    back = passed_on(life.step("restore", actor="bob", reason="needed after all", request="late.restore/by-hand"))
    assert (back["version"], back["was_out"]) == (1, True)
    prepared = life.step("prepare")
    life.step("publish", gate=life.step("gate", stage="features", staged=prepared))
    assert len(life.digests("features")) == DAYS
    for name in ("archive", "free"):
        with pytest.raises(NotRetiredNow):
            life.step(name, retired=retired, actor="ana")

"""The instants of a run: traffic is kept back only where stages need it and an archive has it."""

from __future__ import annotations

from datetime import UTC, datetime

from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.stack.course import plan_course


def _definition(model: str) -> Definition:
    return find_definition(Settings.from_environment({}), model)


def test_a_model_with_stages_keeps_its_last_days_back_and_begins_with_an_earlier_champion() -> None:
    course = plan_course(_definition("flight_delay"), None)
    assert course.as_of.isoformat() == "2013-12-18T00:00:00-05:00"
    assert course.earlier_as_of is not None
    assert course.earlier_as_of.isoformat() == "2013-07-01T00:00:00-04:00"
    assert (course.first, course.last) == ("2013-01-01", "2013-12-31")


def test_a_model_without_stages_is_trained_as_of_the_end_of_its_archive() -> None:
    course = plan_course(_definition("bike_demand"), None)
    assert course.earlier_as_of is None
    assert course.as_of == course.data_as_of
    assert course.last == "2012-12-31"


def test_an_as_of_that_is_asked_for_is_kept() -> None:
    course = plan_course(_definition("flight_delay"), "2013-07-01T00:00:00-04:00")
    assert course.as_of.isoformat() == "2013-07-01T00:00:00-04:00"
    assert course.earlier_as_of is None
    assert course.data_as_of.isoformat() == "2014-01-01T00:00:00-05:00"


def test_data_without_time_is_taken_as_it_is_now_or_as_of_the_instant_that_is_asked_for() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    course = plan_course(_definition("tumor_malignant"), None)
    assert before <= course.as_of <= datetime.now(UTC)
    assert (course.earlier_as_of, course.first, course.last, course.data_as_of) == (None, None, None, course.as_of)
    assert plan_course(_definition("tumor_malignant"), "2026-03-01T10:00:00Z").as_of.isoformat() == (
        "2026-03-01T10:00:00+00:00"
    )

"""Great Expectations on a frame, quickly: the metrics that a suite needs are planned once and computed for each frame.

The public ``batch.validate(suite)`` plans anew for every frame, which costs four times what the metrics do (130 against
30 ms for a day of 15 expectations). So the plan is made here from the same public parts: each expectation names its
metrics, the engine resolves them level by level, the expectation judges them. A test compares both ways. Only
expectations that fail are looked at again, by Great Expectations' own validator, for their rows.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from include.gates.checks import SAMPLES, absent_check, check_of, lists_in
from include.gates.errors import GateBroken, SuiteError
from include.gates.plain import to_plain
from include.gates.plan import Plan, validate
from include.gates.result import Check, GateResult
from include.gates.suite import Suite

if TYPE_CHECKING:
    import pandas as pd

PERSONAL: Final = "(personal)"
"""What stands for a value of a personal column."""
_BATCH: Final = "frame"
_NOTHING: Final[Mapping[int, Check]] = MappingProxyType({})


class Evaluator:
    """One suite, ready to judge many frames."""

    def __init__(self, suite: Suite, *, personal: Collection[str] = ()) -> None:
        """Check the suite with Great Expectations itself.

        :param personal: columns of whose values no result may say any.

        :raises SuiteError: if Great Expectations does not accept an expectation.
        """
        _quiet()
        from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine

        self.suite = self._suite = suite
        self._personal = frozenset(personal)
        self._engine = PandasExecutionEngine()
        self._configurations = [_configuration(suite, number) for number in range(len(suite.expectations))]
        self._judges: dict[int, Any] = {}
        self._plans: dict[tuple[int, ...], Plan] = {}

    def judge(
        self,
        frame: pd.DataFrame,
        *,
        subject: str,
        identify: Sequence[str] = (),
        brief: bool = False,
        known: Mapping[int, Check] = _NOTHING,
    ) -> GateResult:
        """Judge a frame.

        :param frame: the rows; columns that the suite does not name cost nothing.
        :param subject: what the frame is, for messages.
        :param identify: columns that tell a reader which row it is (the entity).
        :param brief: show no sample rows of failed expectations that only warn; looking for them takes longer than all
            the judging.
        :param known: outcomes that are known already, by the number of their expectation.
        :raises GateBroken: if an expectation could not be evaluated.
        """
        present = set(frame.columns)
        checks: dict[int, Check] = dict(known)
        numbers = []
        for number, expectation in enumerate(self._suite.expectations):
            if number in known:
                continue
            absent = [column for column in expectation.columns if column not in present]
            if absent:
                checks[number] = absent_check(expectation, absent)
            else:
                numbers.append(number)
        if numbers:
            narrow = frame[[column for column in self._suite.columns if column in present]]
            checks |= self._evaluate(tuple(numbers), narrow, subject)
        named = [name for name in identify if name in present]
        for number in numbers:
            if not checks[number].success and not (brief and checks[number].severity == "warning"):
                checks[number] = self.with_details(number, checks[number], frame, named)
        return self.result(subject, len(frame), checks)

    def result(self, subject: str, rows: int, checks: Mapping[int, Check]) -> GateResult:
        """The result of a frame.

        :param rows: how many it has.
        :param checks: the outcomes of all expectations, by their number.
        """
        return GateResult(
            suite=self._suite.name,
            suite_digest=self._suite.digest,
            stage=self._suite.stage,
            subject=subject,
            rows=rows,
            checks=tuple(self._shown(number, checks[number]) for number in sorted(checks)),
        )

    def _shown(self, number: int, check: Check) -> Check:
        """A check without values of personal columns: pages, quarantine and results all show what is here."""
        if not self._personal:
            return check
        is_personal = self._personal & set(self._suite.expectations[number].columns)
        samples = tuple(
            {name: PERSONAL if name in self._personal else value for name, value in row.items()}
            for row in check.samples
        )
        observed = PERSONAL if is_personal and check.observed is not None else check.observed
        return replace(check, samples=samples, observed=observed)

    def _evaluate(self, numbers: tuple[int, ...], narrow: pd.DataFrame, subject: str) -> dict[int, Check]:
        measured = self.measure(numbers, narrow, subject)
        return {number: self.conclude(number, named, subject) for number, named in measured.items()}

    def measure(self, numbers: tuple[int, ...], frame: pd.DataFrame, subject: str) -> dict[int, dict[str, Any]]:
        """The metrics of some expectations on a frame, by their names.

        :raises GateBroken: if one cannot be computed.
        """
        self._engine.load_batch_data(_BATCH, frame)
        if numbers not in self._plans:
            self._plans[numbers] = self._plan(numbers, subject)
        plan = self._plans[numbers]
        try:
            return plan.measure(len(frame))
        except Exception as error:
            raise self.broken(plan.culprit(error), subject, error) from error

    def conclude(self, number: int, named: Mapping[str, Any], subject: str) -> Check:
        """What an expectation says of its metrics, which may be of more rows than one frame holds.

        :raises GateBroken: if it cannot judge them.
        """
        with self.said_broken(number, subject):
            if number not in self._judges:
                self._judges[number] = self._configurations[number].to_domain_obj()
            outcome = validate(self._judges[number], named, self._engine)
        found = (outcome.get("result") or {}).get("observed_value")
        return check_of(self._suite.expectations[number], bool(outcome["success"]), to_plain(found), named)

    @contextmanager
    def said_broken(self, number: int, subject: str) -> Iterator[None]:
        """Within, an error means that an expectation could not be evaluated.

        :raises GateBroken: then.
        """
        try:
            yield
        except GateBroken:
            raise
        except Exception as error:
            raise self.broken(number, subject, error) from error

    def _plan(self, numbers: tuple[int, ...], subject: str) -> Plan:
        try:
            return Plan(self._engine, {number: self._configurations[number] for number in numbers})
        except Exception as error:
            raise GateBroken(self._suite.name, subject, "planning the suite's metrics", _reason(error)) from error

    def broken(self, number: int, subject: str, error: Exception) -> GateBroken:
        """The error that says which expectation could not be evaluated, and why."""
        return GateBroken(self._suite.name, subject, self._suite.expectations[number].label, _reason(error))

    def failing_rows(self, frame: pd.DataFrame) -> set[int]:
        """Labels (in the frame's index) of the rows that a critical expectation on each row refuses."""
        found: set[int] = set()
        for number, expectation in enumerate(self._suite.expectations):
            if expectation.severity == "critical" and expectation.form.kind == "rows":
                found.update(self.unexpected(number, frame))
        return found

    def unexpected(self, number: int, frame: pd.DataFrame, *, tolerated: bool = False) -> list[int]:
        """Labels of the rows that do not meet an expectation on each row, in the frame's order.

        :param tolerated: also those that its ``mostly`` tolerates in this frame.
        """
        # Without unexpected_index_column_names, for which Great Expectations goes from cell to cell: 0.1 ms a row.
        columns = list(self._suite.expectations[number].columns)
        outcome = self._look_again(number, frame[columns], {"result_format": "COMPLETE"})
        return [] if outcome.success and not tolerated else list(outcome.result.get("unexpected_index_list") or [])

    def _look_again(self, number: int, frame: pd.DataFrame, layout: dict[str, Any]) -> Any:
        """Great Expectations' own result of one expectation."""
        from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
        from great_expectations.validator.validator import Validator

        validator = Validator(execution_engine=PandasExecutionEngine(batch_data_dict={_BATCH: frame}))
        validator.metrics_calculator.show_progress_bars = False
        [outcome] = validator.graph_validate(
            configurations=[self._configurations[number]], runtime_configuration={"result_format": layout}
        )
        return outcome

    def with_details(self, number: int, check: Check, frame: pd.DataFrame, identify: list[str]) -> Check:
        """Add the rows or values that do not meet a failed expectation."""
        expectation = self._suite.expectations[number]
        if expectation.form.kind == "rows":
            return self.with_samples(check, self._samples(number, frame, identify))
        outcome = self._look_again(number, frame[list(expectation.columns)], {"result_format": "SUMMARY"})
        return replace(check, observed=lists_in(outcome.result or {}) or check.observed)

    @staticmethod
    def with_samples(check: Check, samples: Sequence[Mapping[str, Any]]) -> Check:
        """A failed check with the first rows that do not meet it."""
        return replace(check, samples=tuple(dict(row) for row in samples))

    def _samples(self, number: int, frame: pd.DataFrame, identify: list[str]) -> tuple[dict[str, Any], ...]:
        """The first rows that do not meet an expectation on each row: the entity's columns, then its own."""
        shown = list(dict.fromkeys([*identify, *self._suite.expectations[number].columns]))
        rows = frame.loc[self.unexpected(number, frame)[:SAMPLES], shown]
        return tuple({name: to_plain(row[name]) for name in shown} for row in rows.to_dict("records"))


def _quiet() -> None:
    """Before the first import: no analytics, and no logger that fails under Airflow."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations._docs_decorators").setLevel(logging.CRITICAL)


def _configuration(suite: Suite, number: int) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    expectation = suite.expectations[number]
    configuration = ExpectationConfiguration(type=expectation.type, kwargs={**expectation.kwargs, "batch_id": _BATCH})
    try:
        configuration.to_domain_obj()
    except Exception as error:
        where = f"expectation {number + 1} ({expectation.type})"
        raise SuiteError(suite.path, where, f"Great Expectations refuses it: {error}.", "Correct it.") from error
    return configuration


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {str(cause).strip() or 'no message'}"

"""``StepOperator``: the one operator that runs lifecycle steps, wherever they run.

The environment variable ``NORIA_STEP_MODE`` chooses where: ``local`` (default) runs the step's command line as a child
process, ``kubernetes`` in a pod, except steps whose place is beside Airflow (key ``place`` in the definition's section
pods). Each mode is one module, imported only when it is chosen, with a function
``start(command, context=…, log=…) -> StepRun``.
"""

from __future__ import annotations

import importlib
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferralError

from include.errors import NothingToDo, Refused, TryAgain
from include.settings import Settings, step_mode
from include.spec.pod_of import pod_of
from include.steps.catalog import LIGHT, READS_SOURCE, SIGNS
from plugins.definitions import arrangement_of
from plugins.operators.docs import step_doc
from plugins.operators.lineage import ToldStep, told_of
from plugins.operators.pod_link import PodLink
from plugins.operators.report_link import REPORTING, ReportLink
from plugins.operators.run_facts import FACTS
from plugins.operators.tracking_link import TRACKED, TrackingLink

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

MODES: Final[Mapping[str, str]] = {"local": "plugins.operators.local", "kubernetes": "plugins.operators.pods.run"}


@dataclass(frozen=True, kw_only=True)
class StepCommand:
    """What is to be run, the same in every mode.

    :param step: name of the step.
    :param model: name of the model.
    :param as_of: the run's instant, ISO 8601 with offset.
    :param run: id of the DAG run.
    :param attempt: unique name of this try.
    :param inputs: JSON document for the step.
    :param threads: CPU threads that its libraries may use.
    :param secrets: ``NORIA_*`` variables taken from Airflow's connections; may hold passwords. A pod gets none of them.
    """

    step: str
    model: str
    as_of: str
    run: str
    attempt: str
    inputs: Mapping[str, Any]
    threads: int
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class StepOutcome:
    """How a step ended.

    :param exit_code: as in :mod:`include.errors`; negative for a signal.
    :param output: what it returned, if it ended well.
    :param message: its own last words, if it did not.
    """

    exit_code: int
    output: Any
    message: str


class StepRun(Protocol):
    """A started step."""

    def wait(self) -> StepOutcome:
        """Stream its log until it ends. Whatever is raised in here, nothing of it is left running.

        :raises TaskDeferred: if it is to be waited for without a worker slot; then it runs on.
        """

    def stop(self) -> None:
        """End it and all its children; returns at once, ``wait`` does the rest."""


class StepOperator(BaseOperator):
    """
    Runs one lifecycle step of a model with ``python -m include.steps``.

    :param model: Name of the model.
    :param step: Name of the step, see ``include.steps.catalog``.
    :param as_of: The run's instant, ISO 8601 with offset. (templated)
    :param inputs: Inputs of the step, usually outputs of earlier tasks. (templated)
    :param from_params: Names of the run's parameters that are inputs too; one that the run does not have is left out.
    :param from_run: Names of facts of the run that are inputs too, see ``plugins.operators.run_facts``.
    :param threads: CPU threads that the step's libraries may use.
    """

    template_fields: Sequence[str] = ("as_of", "inputs")
    template_fields_renderers = {"inputs": "json"}  # noqa: RUF012 - Airflow's own way to declare it
    operator_extra_links: Collection[BaseOperatorLink] = (PodLink(),) if step_mode() == "kubernetes" else ()
    ui_color = "#e3f1f4"

    def __init__(
        self,
        *,
        model: str,
        step: str,
        as_of: Any,
        inputs: Mapping[str, Any] | None = None,
        from_params: Sequence[str] = (),
        from_run: Sequence[str] = (),
        threads: int = 1,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("doc_md", step_doc(step))
        super().__init__(**kwargs)
        if step in TRACKED:
            self.operator_extra_links = (TrackingLink(), *self.operator_extra_links)
        if step in REPORTING:
            self.operator_extra_links = (ReportLink(), *self.operator_extra_links)
        self.model = model
        self.step = step
        self.as_of = as_of
        self.inputs = dict(inputs or {})
        self.from_params = tuple(from_params)
        self.from_run = tuple(from_run)
        self.threads = threads
        self._run: StepRun | None = None
        self._told: ToldStep | None = None

    def execute(self, context: Context) -> Any:
        """Run the step and turn its exit code into a task state."""
        mode = self._mode()
        command = self._begin(context, with_secrets=mode == "local")
        self._run = run = _module(mode).start(command, context=context, log=self.log)
        return self._end(run.wait())

    def trigger_reentry(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Go on after the triggerer has watched the step's pod."""
        command = self._begin(context, with_secrets=False)
        self._run = run = _module("kubernetes").resume(command, event, context=context, log=self.log)
        return self._end(run.wait())

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Airflow's way back from the triggerer; when that one gave up, the pod must not outlive its task."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralError:
            command = self._command(context, with_secrets=False)
            _module("kubernetes").abandon(command, context=context, log=self.log)
            raise

    def on_kill(self) -> None:
        """End the step with everything that it started."""
        if self._run is not None:
            self._run.stop()

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """What OpenLineage is told when the step begins; its provider asks, and only where it is switched on."""
        return _lineage(ToldStep(step=self.step, model=self.model, as_of=str(self.as_of), inputs=self.inputs))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """The same when it has ended: now with versions, counts and what a gate has found."""
        if self._told is None:
            return self.get_openlineage_facets_on_start()
        return _lineage(replace(self._told, began=task_instance.start_date))

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """The same when it has failed: what a gate has found is told all the more."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def _begin(self, context: Context, *, with_secrets: bool) -> StepCommand:
        """The command, of which OpenLineage is told if it is on."""
        command = self._command(context, with_secrets=with_secrets)
        self._told = told_of(self.step, self.model, command.as_of, command.inputs)
        return command

    def _end(self, outcome: StepOutcome) -> Any:
        output = result_of(self.step, outcome)
        if self._told is not None:
            self._told = replace(self._told, output=output)
        return output

    def _mode(self) -> str:
        """How this step runs: as configured, unless its place is beside Airflow.

        :raises AirflowFailException: if there is no such way.
        """
        mode = step_mode()
        if mode not in MODES:
            raise AirflowFailException(
                f"NORIA_STEP_MODE is {mode!r}, and there is no such way to run steps. Set it to one of: "
                f"{', '.join(MODES)}."
            )
        if mode == "local":
            return mode
        place = pod_of(arrangement_of(Settings.from_environment(), self.model), self.step).place
        return "local" if place == "airflow" or (place is None and self.step in LIGHT) else mode

    def _secrets(self) -> dict[str, str]:
        from plugins.operators.environment import connection_variables, signing_variables, source_variables

        variables = connection_variables()
        if self.step in READS_SOURCE:
            variables |= source_variables(arrangement_of(Settings.from_environment(), self.model))
        if self.step in SIGNS:
            variables |= signing_variables()
        return variables

    def _command(self, context: Context, *, with_secrets: bool) -> StepCommand:
        secrets = self._secrets() if with_secrets else {}
        params = context["params"]
        chosen = {name: params[name] for name in self.from_params if name in params}
        facts = {name: FACTS[name](context) for name in self.from_run}
        return StepCommand(
            step=self.step,
            model=self.model,
            as_of=str(self.as_of),
            run=context["ti"].run_id,
            attempt=attempt_name(self.task_id, context["ti"].try_number),
            inputs={**chosen, **facts, **self.inputs},
            threads=self.threads,
            secrets=secrets,
        )


def _lineage(told: ToldStep) -> OperatorLineage[Any, Any]:
    from plugins.operators.lineage_events import lineage_of

    return lineage_of(told)


def attempt_name(task_id: str, try_number: int) -> str:
    """A name for one try that no other try has, fit for a folder."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', task_id)}-try{try_number}-{uuid.uuid4().hex[:12]}"


def result_of(step: str, outcome: StepOutcome) -> Any:
    """The output of a step that ended well.

    :raises AirflowFailException: if it was refused; never retried.
    :raises AirflowSkipException: if there was nothing to do.
    :raises AirflowException: if it may go well another time, or broke; retried.
    """
    if outcome.exit_code == 0:
        return outcome.output
    if outcome.exit_code == Refused.exit_code:
        raise AirflowFailException(outcome.message)
    if outcome.exit_code == NothingToDo.exit_code:
        raise AirflowSkipException(outcome.message)
    if outcome.exit_code == TryAgain.exit_code:
        raise AirflowException(outcome.message)
    if outcome.exit_code < 0:
        raise AirflowException(f"The step {step} was killed by signal {-outcome.exit_code}. {outcome.message}")
    raise AirflowException(f"The step {step} ended with exit code {outcome.exit_code}. {outcome.message}")


def _module(mode: str) -> Any:
    return importlib.import_module(MODES[mode])

"""The first task of every run: it settles the run's one instant, and all later tasks take it from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.errors import Refused
from include.settings import Settings
from include.spec.as_of import resolve_as_of
from include.spec.lending import borrowers
from include.spec.partitions import PartitionCalendar
from plugins.definitions import arrangement_of
from plugins.operators.retired import ASKED_FOR, standing_of, words_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class ResolveAsOfOperator(BaseOperator):
    """
    Settles the run's ``as_of``: the form's value, else the end of the run's partition, else of its data interval.

    The wall clock is never read. A range's last partition counts as the run's partition. Data without time has no
    partition to name the instant, so that without anything else it is the one at which the run was asked for.

    :param model: Name of the model.
    :param work: What the run does to the model, ``train`` or something else; None if it is to be done whatever becomes
        of the model. A nightly run of a model that is retired is skipped, and one that is on its way there is not
        trained.
    :param acts_now: Whether the run acts on what is deployed and not on data: without anything else its instant is then
        the one at which the run was asked for, so that nobody has to type one to roll back.
    """

    template_fields: Sequence[str] = ()
    ui_color = "#f2efe4"

    def __init__(self, *, model: str, acts_now: bool = False, work: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.acts_now = acts_now
        self.work = work

    def execute(self, context: Context) -> str:
        """Return the instant in ISO 8601 with offset."""
        run = context["dag_run"]
        if self.work is not None:
            self._skip_if_retired(str(getattr(run.run_type, "value", run.run_type)))
        try:
            asked = run.run_after if self.acts_now or not _has_time(self.model) else None
            end = run.data_interval_end or asked
            as_of = run_as_of(self.model, context["params"], partition_key=run.partition_key, interval_end=end)
        except Refused as refusal:
            raise AirflowFailException(str(refusal)) from None
        self.log.info("as_of of this run is %s", as_of.isoformat())
        return as_of.isoformat()

    def _skip_if_retired(self, kind: str) -> None:
        state = standing_of(self.model)
        words = words_of(state)
        if state is None or words is None:
            return
        if kind not in ASKED_FOR and (state.retired_at is not None or self.work == "train"):
            if self.work != "data" or not (others := borrowers(Settings.from_environment().models, self.model)):
                raise AirflowSkipException(words)
            words = f"{words} Its data goes on: {', '.join(others)} use values of its past."
        if state.retired_at is None and self.work == "train":
            raise AirflowFailException(f"Nothing is trained now: {words}")
        self.log.warning("%s", words)


def run_as_of(
    model: str,
    params: Mapping[str, Any],
    *,
    partition_key: str | None,
    interval_end: datetime | None,
) -> datetime:
    """The instant of a run, from its parameters, its partition or its data interval.

    :raises Refused: if a partition key is none of this model, or nothing names an instant.
    """
    definition = arrangement_of(Settings.from_environment(), model)
    keys = [key for key in (params.get("first"), params.get("last")) if key]
    partitions = [PartitionCalendar.of(definition).from_key(key) for key in keys]
    if len(partitions) == 2 and partitions[0].start > partitions[1].start:
        raise Refused(f"The range runs backwards: first is {keys[0]}, last is {keys[1]}. Exchange them.")
    return resolve_as_of(
        definition,
        requested=params.get("as_of"),
        partition_key=params.get("last") or partition_key,
        data_interval_end=interval_end,
    )


def _has_time(model: str) -> bool:
    return arrangement_of(Settings.from_environment(), model).source.has_time

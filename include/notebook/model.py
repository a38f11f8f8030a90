"""A model as a notebook sees it: its definition, data, steps and versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import Refused
from include.registry.versions import list_versions
from include.settings import Settings
from include.spec.as_of import resolve_as_of
from include.spec.definition import Definition
from include.steps.protocol import Document

if TYPE_CHECKING:
    import pandas as pd

    from include.backtest.line import Line
    from include.notebook.comparison import VersionComparison
    from include.notebook.training_frames import TrainingFrames

ACTOR = "notebook"
_SHOWN = ("version", "status", "as_of", "created_at", "fingerprint", "artifact_digest")


class RowsUnusable(Refused):
    """Rows that a version cannot read; says which row and field."""

    def __init__(self, model: str, version: int, problem: str) -> None:
        self.model, self.version = model, version
        super().__init__(f"{model} version {version} cannot read these rows: {problem}")


class Model:
    """One model.

    :param settings: where its data, versions and deployments are.
    :param definition: as it was when the model was opened.
    """

    def __init__(self, settings: Settings, definition: Definition) -> None:
        self.settings = settings
        self.definition = definition

    @property
    def name(self) -> str:
        """The model's name."""
        return self.definition.model

    def __repr__(self) -> str:
        return f"<model {self.name}: {self.definition.description}>"

    def as_of(self, wanted: str | datetime | None = None) -> datetime:
        """The instant of a run, as Airflow resolves it: brought down to the end of a partition.

        :param wanted: an instant with its offset; left out, the end of an archive; of data without time, this moment.
        :raises AsOfError: if it cannot be resolved.
        """
        text = wanted.isoformat() if isinstance(wanted, datetime) else wanted
        now = None if self.definition.source.has_time else datetime.now(UTC)
        return resolve_as_of(self.definition, requested=text, partition_key=None, data_interval_end=now)

    def run(
        self, step: str, inputs: Mapping[str, Any] | None = None, *, as_of: str | datetime | None = None
    ) -> Document:
        """Run one step in this process: the same function with the same inputs as a task in Airflow.

        :param step: such as ``assemble``; ``python -m include.steps --list`` names them all.
        :param inputs: outputs of earlier steps and options, as the step's own text says.
        :returns: the step's output, the JSON that would go to the next task.
        :raises Refused: if a gate, a check or a rule refuses (exit code 10 of the command), or there is no such step.
        :raises NothingToDo: if there is nothing to do (20).
        :raises TryAgain: if something outside is not ready (30).
        """
        return self._line().run(step, self.as_of(as_of), inputs or {})

    def publish_data(
        self, first: str | None = None, last: str | None = None, *, as_of: str | datetime | None = None
    ) -> Document:
        """Bring partitions of the source through both gates into the lake, as ``<model>.data`` does.

        :param first: key of the first partition, such as ``2013-10-01``; left out, the last complete one alone.
        :param last: key of the last one.
        :returns: the publication of the features table.
        :raises GateRefused: if a gate accepts nothing.
        """
        return self._line().publish(first, last, self.as_of(as_of))

    def training_set(self, as_of: str | datetime | None = None) -> TrainingFrames:
        """The training set as of a date: rows and labels that were known then.

        :raises Refused: if the windows hold too little; says what to publish.
        """
        from include.notebook.training_frames import TrainingFrames
        from include.training.training_set import assemble_training_set

        return TrainingFrames.read(assemble_training_set(self.settings, self.definition, self.as_of(as_of)))

    def train(self, as_of: str | datetime | None = None) -> Document:
        """Assemble, train, gate, evaluate, decide and register, as ``<model>.train`` does; nothing is deployed.

        :returns: ``version``, and the outputs of the steps: ``training``, ``evaluation``, ``decision``.
        :raises Refused: if a gate or a rule refuses the training set or the predictions.
        """
        line = self._line()
        made = line.train(self.as_of(as_of))
        judged = line.judge(made)
        return {
            "version": judged.version,
            "training": made.training,
            "evaluation": judged.evaluation,
            "decision": judged.decision,
        }

    def versions(self) -> pd.DataFrame:
        """All registered versions, oldest first, with the roles that they hold in production now."""
        import pandas as pd

        from include.registry.deployed import read_state

        state = read_state(self.settings, self.name)
        roles = {} if state is None else {held.version: role for role, held in state.roles.items()}
        rows = [
            {**{name: getattr(one, name) for name in _SHOWN}, "role": roles.get(one.version), **_decision(one.decision)}
            for one in list_versions(self.settings, self.name)
        ]
        columns = [*_SHOWN, "role", "verdict", "reason"]
        return pd.DataFrame(rows, columns=columns).set_index("version")

    def compare(self, first: int, second: int) -> VersionComparison:
        """Two versions on the same rows, which neither was trained or validated on, as the champion's gate judges.

        :param first: the version in the champion's place.
        :param second: the version in the challenger's place.
        :raises VersionUnknown: if there is no such version.
        :raises NothingToCompareOn: if there are too few such rows.
        :raises VersionUntrusted: if one is not signed as it should be.
        """
        from include.notebook.comparison import compare_versions

        return compare_versions(self.settings, self.definition, first, second)

    def predict(
        self, rows: pd.DataFrame | Sequence[Mapping[str, Any]], version: int | None = None, *, force: bool = False
    ) -> pd.DataFrame:
        """A version's answers, given by its packaged model in this process; nothing is logged.

        :param rows: raw input columns, as a request has them; values of the past among them.
        :param version: left out, the champion.
        :param force: ask a barred or retired version as well.
        :returns: ``prediction``, of several classes also ``probability_<class>``; index and order of the rows.
        :raises VersionUnknown: if there is no such version.
        :raises NobodyToScore: if none is named and there is no champion.
        :raises RowsUnusable: if they cannot be read.
        """
        import pandas as pd

        from include.registry.mlflow_client import connect
        from include.serving.scoring.packaged import opened_model
        from include.serving.scoring.version import choose_version

        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
        chosen = choose_version(self.settings, self.name, version, force=force)
        connect(self.settings)
        with opened_model(self.settings, self.name, chosen) as packaged:
            try:
                answers: pd.DataFrame = packaged.predict(None, frame)
            except ValueError as error:  # the model's own InputError, of a class of its own code
                raise RowsUnusable(self.name, chosen.version, str(error)) from error
        return answers

    def _line(self) -> Line:
        from include.backtest.line import Line

        return Line(self.settings, self.definition)


def _decision(decision: Mapping[str, Any]) -> dict[str, Any]:
    return {"verdict": decision.get("verdict"), "reason": decision.get("reason")}

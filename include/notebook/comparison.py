"""Two registered versions side by side, judged as the champion's gate judges a challenger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from include.errors import Refused
from include.evaluation.comparison import CHALLENGER, CHAMPION, Comparison, compare
from include.evaluation.estimate import Estimate
from include.evaluation.fairness import too_few
from include.evaluation.grouping import Floats
from include.evaluation.holdout import Holdout, with_objective_columns
from include.evaluation.logged_models import load_model, model_files
from include.evaluation.metrics import display_order
from include.evaluation.report import judging_of
from include.evaluation.unseen import judge_unseen
from include.registry.mlflow_client import connect
from include.registry.signing import check
from include.registry.versions import ModelVersion, get_version
from include.settings import Settings
from include.spec.definition import Definition
from include.training.part_on_disk import in_batches, read_part
from include.training.run import read_inputs
from include.training.training_set import TrainingSet, assemble_training_set


class NothingToCompareOn(Refused):
    """Too few rows are unseen by both versions."""

    def __init__(self, model: str, versions: tuple[int, int], as_of: datetime, problem: str) -> None:
        self.model, self.versions, self.as_of = model, versions, as_of
        super().__init__(
            f"Of the holdout of {model} as of {as_of.isoformat()}, the rows that neither version {versions[0]} nor "
            f"version {versions[1]} was trained or validated on are too few: {problem}. Compare versions that know "
            "data of about the same time, or see how each was judged when it was registered."
        )


@dataclass(frozen=True, kw_only=True, repr=False)
class VersionComparison:
    """How two versions answer the same rows.

    :param first: the version in the champion's place.
    :param second: the version in the challenger's place.
    :param as_of: as of which the rows' labels were known: the later one of the two.
    :param rows: number of rows that neither has seen.
    :param excluded: number of the holdout's other rows.
    :param digest: of the training set whose holdout these rows are.
    :param table: by metric: each version's value with its interval, and the second one's improvement over the first
        with the paired interval, positive being better; ``surely`` is better, worse, or empty.
    """

    first: int
    second: int
    as_of: datetime
    rows: int
    excluded: int
    digest: str
    table: pd.DataFrame

    def __repr__(self) -> str:
        return f"{self.title}:\n{self.table.to_string(float_format='{:.4f}'.format)}"

    @property
    def title(self) -> str:
        """What was compared, in a sentence."""
        head = f"Version {self.second} against version {self.first} on {self.rows:,} rows that neither has seen"
        return f"{head} (as of {self.as_of.isoformat()})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.table.style.format(precision=4, na_rep="").set_caption(self.title).to_html()


def compare_versions(settings: Settings, definition: Definition, first: int, second: int) -> VersionComparison:
    """Let both answer the holdout of the later one's training set, as the lake gives it now.

    :raises VersionUnknown: if there is no such version.
    :raises NothingToCompareOn: if too few of its rows are unseen by both.
    """
    pair = (get_version(settings, definition.model, first), get_version(settings, definition.model, second))
    as_of = max(version.as_of for version in pair)
    training_set = assemble_training_set(settings, definition, as_of)
    holdout = _holdout(settings, definition, training_set)
    usable = np.logical_and.reduce(
        [judge_unseen(definition, holdout, version.version, version.windows).usable for version in pair]
    )
    lacking = too_few(definition.task, holdout.labels[usable])
    if lacking:
        raise NothingToCompareOn(definition.model, (first, second), as_of, lacking.removeprefix("the other "))
    champion, challenger = (_answers(settings, definition, version, holdout) for version in pair)
    judging = judging_of(definition, holdout, threshold=pair[1].threshold, champion_threshold=pair[0].threshold)
    met = compare(
        judging.on(usable),
        holdout.labels[usable],
        challenger[usable],
        {CHAMPION: champion[usable]},
        holdout.partitions[usable],
    )
    return VersionComparison(
        first=first,
        second=second,
        as_of=as_of,
        rows=met.rows,
        excluded=int((~usable).sum()),
        digest=training_set.digest,
        table=_table(definition, met, first, second),
    )


def _holdout(settings: Settings, definition: Definition, training_set: TrainingSet) -> Holdout:
    """The training set's holdout; of predictions it has none, since nothing was trained on it here."""
    frame, train = (read_part(training_set.directory, part) for part in ("holdout", "train"))
    holdout = Holdout(
        directory=training_set.directory,
        frame=frame,
        labels=frame["label"].to_numpy(dtype=np.float64, na_value=np.nan),
        predictions=np.full(len(frame), np.nan),
        inputs=read_inputs(training_set.directory),
        train=train,
    )
    return with_objective_columns(settings, definition, holdout, {"training_set": training_set.reference(settings)})


def _answers(settings: Settings, definition: Definition, version: ModelVersion, holdout: Holdout) -> Floats:
    """A version's predictions for all of the holdout's rows, from its own files, which are held against the registry.

    :raises ModelAway: if MLflow does not deliver them.
    :raises ModelBroken: if they differ from the registered ones.
    :raises ModelIncompatible: if it cannot read today's rows.
    """
    check(settings, version)
    connect(settings)
    whose = f"version {version.version}"
    with model_files(
        settings.tracking_url, whose=whose, model_uri=version.model_uri, expected_digest=version.artifact_digest
    ) as directory:
        predict = load_model(directory, whose=whose, classes=definition.label.class_names)
        return in_batches(holdout.inputs, predict)


def _table(definition: Definition, met: Comparison, first: int, second: int) -> pd.DataFrame:
    evaluation = definition.evaluation
    metrics = display_order(
        definition.task, evaluation.metrics, costs=evaluation.costs is not None, objective=evaluation.objective
    )
    rows = []
    for metric in metrics:
        gained = met.improvements[CHAMPION][metric.name]
        rows.append(
            {
                "metric": metric.name,
                **_columns(f"version {first}", met.estimates[CHAMPION][metric.name]),
                **_columns(f"version {second}", met.estimates[CHALLENGER][metric.name]),
                **_columns("improvement", gained),
                "surely": _surely(gained),
            }
        )
    return pd.DataFrame(rows).set_index("metric")


def _columns(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {name: estimate.value, f"{name} low": estimate.low, f"{name} high": estimate.high}


def _surely(improvement: Estimate) -> str:
    """On which side of nothing the whole interval lies."""
    if improvement.low is not None and improvement.low > 0:
        return "better"
    return "worse" if improvement.high is not None and improvement.high < 0 else ""

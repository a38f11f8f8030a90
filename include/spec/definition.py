"""What a model definition may say: strict, frozen types, each key documented.

The descriptions here are the source of the reference page (``python -m include.spec reference``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from include.spec.alerts import Alerts
from include.spec.card import Card
from include.spec.clean import Clean
from include.spec.costs import Costs
from include.spec.engine import Engine
from include.spec.fairness import FairnessRule
from include.spec.formats import NEWEST
from include.spec.history import HistoryGroup
from include.spec.importance import Importance
from include.spec.objective import Objective
from include.spec.pods import Pods
from include.spec.production import Deployment, Serving
from include.spec.retention import Retention
from include.spec.retirement import Retirement
from include.spec.robustness import Disturbance
from include.spec.search import Search
from include.spec.section import Day, Duration, Scalar, Section
from include.spec.share import DurationOrShare
from include.spec.side_tables import SideTable
from include.spec.trainers import Candidate, Trainer

ColumnType = Literal["string", "integer", "number", "boolean", "timestamp"]
FeatureType = Literal["numeric", "category", "boolean"]
PartitionSize = Literal["hour", "day", "month"]
CONNECTION_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
Task = Literal["binary_classification", "multiclass_classification", "regression"]


class Source(Section):
    """Where the raw data comes from and how it is cut into partitions."""

    type: Literal["files", "sql", "delta"] = Field(
        description="`files`: Parquet or CSV files. `sql`: a table or a query of a database, through a connection. "
        "`delta`: a Delta table."
    )
    path: str = Field(
        "",
        description="files: path of the files. `{store}` is the store's root. With `{partition}` there is one file for "
        "each partition; without it one file holds everything and is cut by `event_time`, if there is one. delta: the "
        "table's folder, in the store or on this machine.",
    )
    format: Literal["parquet", "csv"] | None = Field(
        None, description="files: taken from the path's ending if left out."
    )
    connection: str | None = Field(
        None,
        pattern=CONNECTION_PATTERN,
        description="sql: id of the Airflow connection; steps outside of Airflow read the address (a SQLAlchemy URL) "
        "from `NORIA_CONNECTION_<ID>`.",
    )
    table: str | None = Field(None, description="sql: the table or view, such as `sales.orders`.")
    query: str | None = Field(
        None,
        description="sql: instead of a table one SELECT, in the database's own SQL, which may join several tables. It "
        "is read in windows of `event_time`. files and delta: [one SELECT in DuckDB's SQL](#several-tables) that makes "
        "the rows out of `source`, the partition's rows as they lie there, and `tables`.",
    )
    tables: dict[str, SideTable] = Field(
        default_factory=dict,
        description="files and delta: further tables that `query` joins, by the names that it calls them.",
    )
    filter: str | None = Field(
        None,
        description="Condition on the rows. sql: in the database's own SQL, and the database applies it. delta: an "
        "SQL expression over the table's columns; files of the table that cannot hold such rows are not read.",
    )
    arrives_after: Duration = Field(
        timedelta(0), description="sql, delta: how long after a partition's end its rows are taken to be complete."
    )
    chunk: Duration | None = Field(
        None,
        description="sql: the time that one query reads. A read that was cut goes on after its last whole chunk. Left "
        "out: a partition, or several when many are read at once.",
    )
    parallel: int = Field(4, ge=1, le=64, description="sql: how many queries run at once.")
    partition: PartitionSize = Field("day", description="Size of a partition.")
    time_zone: str = Field("UTC", description="Time zone in which partitions are cut and schedules run.")
    starts: Day | None = Field(None, description="First day with data; needed with `event_time`.")
    ends: Day | None = Field(
        None, description="Last day with data, for an archive: a run in the present then works at the archive's end."
    )
    event_time: str | None = Field(
        None,
        description="Timestamp column that says when a row happened (local to `time_zone`). Left out: "
        "[data without time](#data-without-time), which is one whole and is split by a hash of its `entity`.",
    )
    entity: list[str] = Field(description="Columns that together identify a row.", min_length=1)
    columns: dict[str, ColumnType] = Field(
        description="Columns taken from the source and their types: string, integer, number, boolean, timestamp."
    )

    @property
    def has_time(self) -> bool:
        """Whether its rows happened at a time; if not, it is one whole without partitions."""
        return self.event_time is not None

    @property
    def time_column(self) -> str:
        """The column with the event time, of a source that has one.

        :raises TypeError: if it has none.
        """
        if self.event_time is None:
            raise TypeError("this source has no event time")
        return self.event_time


class Label(Section):
    """What is to be predicted."""

    expression: str = Field(description="SQL expression over the row's columns; a null means that no label exists.")
    known_after: Duration = Field(
        timedelta(0), description="How long after the event the label is known; newer rows are not trained on."
    )
    classes: list[str | int] | None = Field(
        None,
        description="Of multiclass_classification, where it is needed: every class that `expression` can give, in the "
        "order in which answers name them. Later ones are added at the end.",
    )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes as texts, in their order; none for other tasks."""
        return tuple(str(name) for name in self.classes or ())


class Feature(Section):
    """One input of the model. ``name: "sql"`` is short for ``name: {expression: "sql"}``."""

    expression: str = Field(description="SQL expression over the row's columns.")
    type: FeatureType = Field("numeric", description="numeric, category or boolean.")

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        return {"expression": value} if isinstance(value, str) else value


class FeatureModule(Section):
    """The way out: features computed by a Python module instead of SQL."""

    path: str = Field(description="Python file beside the definition with `compute(rows: pandas.DataFrame)`.")
    inputs: list[str] = Field(description="Source columns that it needs.", min_length=1)
    columns: dict[str, FeatureType] = Field(
        description="Feature columns that it returns and their types.", min_length=1
    )


class Resources(Section):
    """What the training step may use, wherever it runs."""

    cpu: int = Field(2, ge=1, description="Number of CPUs, and of threads.")
    memory: str = Field("4Gi", pattern=r"^[1-9][0-9]*(Mi|Gi)$", description="Memory of its pod, such as `4Gi`.")


class Training(Section):
    """How the model is trained, on what windows of the past."""

    window: Duration | None = Field(
        None, description="Length of the training part. Needed with `event_time`; without, it is what the others leave."
    )
    shortest_window: Duration | None = Field(
        None,
        description="While the source's past is shorter than `window`, train on what there is, if it is at least this "
        "long. Left out: never on less than `window`.",
    )
    validation: DurationOrShare = Field(
        description="Length of the validation part, which follows it (early stopping). Without `event_time`: its share "
        "of the rows, such as `15%`."
    )
    holdout: DurationOrShare = Field(
        description="Length of the holdout part, which follows that (evaluation only). Without `event_time`: its share."
    )
    seed: int = Field(7, ge=0, description="Seed of everything random.")
    rounds: int = Field(300, ge=1, description="Most boosting rounds.")
    early_stopping_rounds: int = Field(20, ge=1, description="Rounds without gain on validation before stopping.")
    trainer: Trainer = Field(
        Trainer(name="xgboost"), description="Who trains: `xgboost`, `linear`, or a module of your own."
    )
    params: dict[str, Scalar] = Field(default_factory=dict, description="Parameters of the trainer.")
    search: Search | None = Field(None, description="A search for parameters; left out: `params` as they are.")
    candidates: dict[str, Candidate] = Field(
        default_factory=dict,
        description="Several trainings, by name: all are judged on the validation part (and on the older windows of "
        "`search.folds`), and the one with the smallest loss is the run's model.",
    )
    monotone: dict[str, Literal["increasing", "decreasing"]] = Field(
        default_factory=dict,
        description="Features with which the prediction may only rise (`increasing`) or only fall (`decreasing`).",
    )
    class_weight: Literal["none", "balanced"] = Field(
        "none",
        description="`balanced`: all classes weigh the same in training, however rare one is. Ranks better when one "
        "is very rare; the predicted probabilities are then too high for it, unless they are calibrated.",
    )
    calibration: Literal["none", "sigmoid"] = Field(
        "none",
        description="`sigmoid`: a logistic curve fitted on the validation part makes the predicted probabilities come "
        "true more often (Platt). It changes no ranking, and travels within the model. For binary_classification.",
    )
    refit: Literal["none", "validation"] = Field(
        "none",
        description="`validation`: after early stopping, train again on training + validation with the found number of "
        "rounds. The holdout is never trained on, so comparisons stay fair either way.",
    )
    max_missing_partitions: int = Field(
        0, ge=0, description="How many partitions of the windows may be missing when the wait for data ends."
    )
    wait_for_data: Duration = Field(timedelta(hours=3), description="How long a training run waits for its data.")
    resources: Resources = Field(Resources(), description="What the training step may use.")


class Gate(Section):
    """One condition that a challenger must meet."""

    metric: str = Field(description="Name of a metric.")
    at_least: float | None = Field(None, description="Smallest value allowed.")
    at_most: float | None = Field(None, description="Largest value allowed.")
    against: Literal["champion", "naive", "linear"] | None = Field(
        None, description="Compare on the same rows with the champion, or with a naive or linear baseline."
    )
    margin: float = Field(0.0, description="By how much the lower bound of the paired interval must win.")


class Evaluation(Section):
    """How a challenger is judged."""

    threshold: float = Field(0.5, gt=0, lt=1, description="Probability from which the answer is yes.")
    threshold_from: Literal["definition", "validation"] = Field(
        "definition",
        description="`validation`: in place of `threshold` each version has its own, at which `costs` (or `objective`) "
        "are best on its validation part.",
    )
    costs: Costs | None = Field(None, description="What right and wrong answers cost: makes the metric `cost`.")
    objective: Objective | None = Field(
        None,
        description="The business's own number as SQL over the prediction and the row: makes the metric `objective`.",
    )
    metrics: list[str] = Field(description="Metrics shown first; all are computed.", min_length=1)
    gates: list[Gate] = Field(description="Conditions for promotion.", min_length=1)
    slices: list[str] = Field(default_factory=list, description="Source columns by which metrics are also shown.")
    robustness: list[Disturbance] = Field(
        default_factory=list, description="How the model is judged on worse inputs than it was trained on."
    )
    fairness: list[FairnessRule] = Field(
        default_factory=list, description="Between which groups its answers are compared, and how much they may differ."
    )
    importance: Importance = Field(Importance(), description="What its answers rest on, and when that has jumped.")
    bootstrap_rounds: int = Field(1000, ge=100, description="Resamples behind each interval.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of the intervals.")


class Season(Section):
    """Windows of the same season instead of the training part, where there are enough."""

    every: Duration = Field(
        timedelta(days=7), description="After how long the season returns: 7d compares with the same days of the week."
    )
    windows: int = Field(
        4, ge=3, le=60, description="Earlier windows that are compared with; at least 3 must be there."
    )


class Persistence(Section):
    """Drift that stays: so many of the last windows, and the newest."""

    of: int = Field(1, ge=1, le=100, description="Windows that are looked at, this one included.")
    drifted: int = Field(1, ge=1, le=100, description="So many of them must have drifted; the newest must.")


class DomainClassifier(Section):
    """A classifier that tries to tell the newest rows from the training part: it sees how features go together."""

    rows: int = Field(
        2000, ge=500, le=10_000, description="Rows of either side; so many of the training part travel with the model."
    )
    auc: float = Field(
        0.65, gt=0.5, lt=1, description="ROC AUC from which they can be told apart: drift, whatever the features say."
    )


class Drift(Section):
    """When the newest data counts as drifted."""

    window: Duration = Field(timedelta(days=7), description="Newest data that is compared with the training profile.")
    least_change: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Smallest change of a feature that matters, as a share of the rows: on another side of some "
        "number, in another category, or missing. What the training part varies over time is allowed anyway.",
    )
    significance: float = Field(
        0.01, gt=0, le=0.2, description="Greatest chance that a window without drift is said to have drifted features."
    )
    share_of_features: float | None = Field(
        None, gt=0, le=1, description="Share of drifted features that means drift; by default a single one does."
    )
    season: Season | None = Field(None, description="Compare with earlier windows of the same season.")
    persistence: Persistence = Field(Persistence(), description="Windows that must have drifted.")
    domain_classifier: DomainClassifier | None = Field(
        None, description="Look for relations between features that changed, too."
    )


class Decay(Section):
    """When the champion's answers count as worse than those on its holdout part."""

    window: Duration = Field(timedelta(days=28), gt=timedelta(0), description="Newest labelled data that is judged.")
    metrics: list[str] | None = Field(
        None,
        min_length=1,
        description="Metrics that are watched. Left out: the first of `evaluation.metrics`, and the `objective`.",
    )
    least_change: float = Field(
        0.05, gt=0, lt=1, description="From which loss on it matters: a share of the value on the holdout part."
    )


class Retrain(Section):
    """What drift and decay start."""

    on_drift: bool = Field(True, description="Start a training run when drift is found.")
    on_decay: bool = Field(True, description="Start a training run when the champion's answers have become worse.")
    cooldown: Duration = Field(
        timedelta(days=3),
        description="Data time between two starts by drift; without `event_time`, time between the runs' as_of.",
    )
    at_most_per_week: int = Field(
        3, ge=1, description="Most starts within seven days of data time, whatever the cooldown says."
    )


class Monitoring(Section):
    """The scheduled drift check."""

    drift: Drift = Field(Drift(), description="Verdict on drift.")
    decay: Decay = Field(Decay(), description="Verdict on the quality of the champion's answers.")
    retrain: Retrain = Field(Retrain(), description="What drift and decay start.")


class Schedule(Section):
    """Cron expressions in the source's time zone; a missing one means: only when triggered."""

    data: str | None = Field(None, description="When data is ingested.")
    train: str | None = Field(None, description="When the model is trained.")
    monitor: str | None = Field(None, description="When drift is checked.")
    score: str | None = Field(None, description="When the champion scores the last complete partition.")


class Execution(Section):
    """How Airflow runs the steps."""

    retries: int = Field(2, ge=0, description="Retries of a step that failed for a passing reason.")
    retry_delay: Duration = Field(timedelta(minutes=1), description="Pause before a retry.")
    timeout: Duration = Field(timedelta(hours=2), description="Longest time that one step may take.")
    data_pool: str = Field("noria_data", description="Airflow pool of the data steps.")
    training_pool: str = Field("noria_training", description="Airflow pool of the training steps.")


class Definition(Section):
    """One model: everything that Noria needs to run its whole life."""

    format: int = Field(
        1, ge=1, description=f"Format of the file. Newer releases read older formats; the newest is {NEWEST}."
    )
    model: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="Name of the model; also the file's name.")
    description: str = Field(description="What it predicts, in one sentence.")
    owner: str = Field(
        description="Who answers for it: the team that owns its DAGs, and may act on them where "
        "[access is by teams](../../README.md#who-may-do-what)."
    )
    readers: list[str] = Field(
        default_factory=list, description="Other teams that may look at its DAGs, runs, logs and results there."
    )
    task: Task = Field(description="binary_classification, multiclass_classification or regression.")
    tags: list[str] = Field(default_factory=list, description="Tags of its DAGs.")
    card: Card = Field(Card(), description="What people state of it on its model card.")
    source: Source = Field(description="Where the raw data comes from.")
    label: Label = Field(description="What is to be predicted.")
    history: dict[str, HistoryGroup] = Field(
        default_factory=dict, description="Values of the past by key, such as a rate over the last week, by group."
    )
    features: dict[str, Feature] = Field(default_factory=dict, description="Inputs of the model, by name.")
    feature_module: FeatureModule | None = Field(None, description="A Python module instead of SQL: only a way out.")
    clean: Clean = Field(Clean(), description="How its data is cleaned.")
    training: Training = Field(description="How it is trained.")
    engine: Engine = Field(Engine(), description="What computes features, training sets and models.")
    evaluation: Evaluation = Field(description="How a challenger is judged.")
    deployment: Deployment = Field(Deployment(), description="How a version goes into production.")
    serving: Serving = Field(Serving(), description="What the inference server takes and keeps.")
    retention: Retention = Field(Retention(), description="How long its data is kept.")
    retirement: Retirement = Field(Retirement(), description="How it leaves production for good.")
    monitoring: Monitoring = Field(Monitoring(), description="The drift check.")
    alerts: Alerts = Field(Alerts(), description="Who is told when something happens to it.")
    schedule: Schedule = Field(Schedule(), description="When its DAGs run.")
    execution: Execution = Field(Execution(), description="How Airflow runs its steps.")
    pods: Pods = Field(Pods(), description="What its steps may use in Kubernetes.")
    _lenders: dict[str, Definition] = PrivateAttr(default_factory=dict)

    @property
    def lenders(self) -> Mapping[str, Definition]:
        """The definitions of other models whose history it uses, by model."""
        return self._lenders

    def borrowing(self, lenders: Mapping[str, Definition]) -> Definition:
        """A copy that knows these definitions of other models."""
        copy = self.model_copy()
        copy._lenders = dict(lenders)
        return copy

"""Real rows of all packaged data sets, in the form that each stage's gate sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import duckdb
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from include.datasets import land
from include.features.history import Past
from include.features.history_windows import HistoryWindows
from include.features.select import features_sql
from include.settings import Settings
from include.spec.column_types import DUCKDB_TYPES
from include.spec.columns import input_columns, used_histories
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.spec.partitions import PartitionCalendar
from include.stack.postgres import Postgres

ROWS = {
    "flight_delay": 100_000,
    "flight_outcome": 73_000,
    "bike_demand": 9_700,
    "airport_temperature": 4_300,
    "tumor_malignant": 569,
}
_ANSWERS = {
    "flight_delay": 0.2,
    "flight_outcome": 0.0,
    "bike_demand": 120.0,
    "airport_temperature": 3.0,
    "tumor_malignant": 0.2,
}
Frames = dict[str, pd.DataFrame]


def _raw(connection: duckdb.DuckDBPyConnection, definition: Definition, settings: Settings) -> pd.DataFrame:
    source = definition.source
    if source.type == "sql":
        return _read_by_sql(settings, definition)
    path = source.path.replace("{store}", str(settings.store)).replace("{partition}", "*")
    items = [f'CAST("{name}" AS {DUCKDB_TYPES[kind]}) AS "{name}"' for name, kind in source.columns.items()]
    reader = "read_csv" if path.endswith(".csv") else "read_parquet"
    query = f"SELECT {', '.join(items)} FROM {reader}('{path}')"
    order = [*([source.event_time] if source.event_time else []), *source.entity]
    frame = connection.sql(f"{query} ORDER BY {', '.join(order)}").df()
    if source.event_time is None:
        return frame.assign(partition="all")
    return frame.assign(partition=frame[source.event_time].dt.strftime("%Y-%m-%d"))


def _read_by_sql(settings: Settings, definition: Definition) -> pd.DataFrame:
    source = definition.source
    statement = sa.text(f"SELECT {', '.join(source.columns)} FROM ({source.query}) q ORDER BY hour_at, origin")
    with sa.create_engine(settings.connection(source.connection or "")).connect() as connection:
        frame = pd.DataFrame(connection.execute(statement).mappings().all(), columns=list(source.columns))
    frame["hour_at"] = pd.to_datetime(frame["hour_at"], utc=True).dt.tz_localize(None)
    numbers = [name for name, kind in source.columns.items() if kind == "number"]
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    frame = frame[(frame.hour_at >= "2013-05-20") & (frame.hour_at < "2013-08-01")].reset_index(drop=True)
    return frame.assign(partition=frame.hour_at.dt.strftime("%Y-%m-%dT%H"))


class _Table:
    """What values of the past need of a raw table: all rows, whichever partitions are asked for."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self._rows = rows

    def scan(self, connection: duckdb.DuckDBPyConnection, name: str, **_: object) -> None:
        connection.register(name, self._rows)


def _with_past(connection: duckdb.DuckDBPyConnection, raw: pd.DataFrame, definition: Definition) -> pd.DataFrame:
    """The rows with the values of the past that features read."""
    keys = list(raw["partition"].unique())
    calendar = PartitionCalendar.of(definition)
    rows = raw.assign(_row=np.arange(len(raw)))
    for history, columns in used_histories(definition):
        past = Past(
            history=history, columns=columns, table=_Table(rows), version=0, records=dict.fromkeys(keys),
            windows=HistoryWindows(history, keys),
        )  # fmt: skip
        past.compute(connection, "past", [calendar.from_key(key) for key in keys])
        connection.register("present", rows)
        same = " AND ".join(f"p.{name} = r.{name}" for name in history.by)
        items = ", ".join(f"p.{name}" for name in columns)
        query = f"SELECT r.*, {items} FROM present r LEFT JOIN past p ON p._key = r.partition AND {same} ORDER BY _row"
        rows = connection.sql(query).df()
    return rows.drop(columns="_row")


def _frames(settings: Settings, model: str) -> Frames:
    """Raw, features, requests and labels of all days; a training set; predictions of a good but not perfect model."""
    definition = find_definition(settings, model)
    land(settings, model)
    connection = duckdb.connect()
    raw = _raw(connection, definition, settings)
    present = _with_past(connection, raw, definition)
    connection.register("raw", present)
    features = connection.sql(features_sql(definition, "raw", extra="partition, ")).df()
    known = features[features.label.notna()]
    last = "2013-11-30" if model.startswith("flight") else known.partition.iloc[-1]
    known = known[known.partition <= last].tail(ROWS[model])
    part = np.where(np.arange(len(known)) < 0.8 * len(known), "train", "validation")
    training = known.assign(part=np.where(np.arange(len(known)) >= 0.9 * len(known), "holdout", part))
    holdout = training[training.part == "holdout"].reset_index(drop=True)
    noise = np.random.default_rng(7).uniform(size=len(holdout))
    classes = definition.label.class_names
    guess = 0.2 * holdout.label + 0.3 * noise if model == "flight_delay" else 0.8 * holdout.label + 40 * noise
    if model == "airport_temperature":
        guess = 0.8 * holdout.label + noise
    if model == "tumor_malignant":
        guess = 0.7 * holdout.label + 0.3 * noise
    predictions = holdout[["partition", "label"]].assign(_row=np.arange(len(holdout)), prediction=guess)
    if classes:
        predictions = predictions.assign(**_of_classes(holdout.label.to_numpy(), noise, classes))
    return {
        "raw": raw, "features": features, "training": training, "predictions": predictions,
        "inference": _inference(present, definition, _ANSWERS[model]),
        "feedback": features[["label", "partition"]].dropna().assign(request_id="r", row=0, entity=None),
    }  # fmt: skip


def _of_classes(labels: np.ndarray, noise: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Answers of a model that knows the shares of the classes, and something of the truth."""
    shares = np.bincount(labels.astype(int), minlength=len(classes)) / len(labels)
    truth = np.eye(len(classes))[labels.astype(int)]
    answers = 0.7 * shares + 0.2 * truth + 0.1 * np.column_stack([noise, 1 - noise, *[0 * noise] * (len(classes) - 2)])
    places = answers.argmax(axis=1)
    probabilities = {f"probability_{name}": answers[:, place] for place, name in enumerate(classes)}
    return {"prediction": places.astype(float), "predicted_class": np.array(classes)[places], **probabilities}


def _inference(raw: pd.DataFrame, definition: Definition, prediction: float) -> pd.DataFrame:
    """Every row of the source asked for once, as the request log keeps it."""
    inputs = raw[list(input_columns(definition))].add_prefix("input_")
    return inputs.assign(
        partition=raw["partition"],
        request_id=[f"r{number}" for number in range(len(raw))],
        row=0,
        version=1,
        role="champion",
        prediction=prediction,
        **({"predicted_class": definition.label.class_names[0]} if definition.label.class_names else {}),
        latency_us=np.arange(len(raw)) % 400 + 90,
    )


@pytest.fixture(scope="session")
def all_frames(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Callable[[str], Frames]:
    postgres.create_database("suites")
    variables = {"NORIA_CONNECTION_NORIA_WAREHOUSE": postgres.url("suites")}
    settings = Settings.from_environment({"NORIA_HOME": str(tmp_path_factory.mktemp("landing")), **variables})
    made: dict[str, Frames] = {}

    def frames(model: str) -> Frames:
        if model not in made:
            made[model] = _frames(settings, model)
        return made[model]

    return frames

"""Small definitions, raw rows and trained packages for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.features.select import label_sql
from include.spec.columns import feature_types, input_columns
from include.spec.definition import Definition
from include.training.cleaning import kept_rows, learn_cleaning
from include.training.matrices import Encoded, encode_part, learn_categories
from include.training.package import describe_model, write_package
from include.training.packaged_model import TabularModel
from include.training.trainers.protocol import Request, Trained
from include.training.trainers.xgboost_trees import train_trees

SQL_TYPES = {"numeric": "DOUBLE", "category": "VARCHAR", "boolean": "BOOLEAN"}


def make_definition(**changes: Any) -> Definition:
    """A small binary classification; ``changes`` replace whole sections, dicts are merged into them."""
    document: dict[str, Any] = {
        "model": "late",
        "description": "Late?",
        "owner": "team",
        "task": "binary_classification",
        "source": {
            "type": "files",
            "path": "{store}/landing/{partition}.parquet",
            "partition": "day",
            "time_zone": "America/New_York",
            "starts": "2013-01-01",
            "event_time": "left_at",
            "entity": ["left_at", "number"],
            "columns": {
                "left_at": "timestamp",
                "number": "integer",
                "carrier": "string",
                "distance": "number",
                "seats": "integer",
                "cargo": "boolean",
                "delay": "number",
            },
        },
        "label": {"expression": "delay > 15", "known_after": "1d"},
        "features": {
            "hour": {"expression": "hour(left_at)"},
            "carrier": {"expression": "carrier", "type": "category"},
            "far": {"expression": "distance / 7.3"},
            "seats": {"expression": "seats"},
            "cargo": {"expression": "cargo", "type": "boolean"},
        },
        "training": {
            "window": "10d",
            "validation": "3d",
            "holdout": "3d",
            "rounds": 40,
            "early_stopping_rounds": 5,
            "params": {"max_depth": 4, "learning_rate": 0.3, "subsample": 0.8},
        },
        "evaluation": {"metrics": ["roc_auc"], "gates": [{"metric": "roc_auc", "at_least": 0.5}]},
    }
    for key, change in changes.items():
        merged = isinstance(change, dict) and key != "features"
        document[key] = {**document.get(key, {}), **change} if merged else change
    return Definition.model_validate(document)


CLASSES = ("early", "late", "very late")


def make_class_definition(**changes: Any) -> Definition:
    """The same with three classes for a label."""
    expression = "CASE WHEN delay > 30 THEN 'very late' WHEN delay > 10 THEN 'late' ELSE 'early' END"
    document: dict[str, Any] = {
        "task": "multiclass_classification",
        "label": {"expression": expression, "classes": list(CLASSES)},
        "evaluation": {"metrics": ["log_loss", "roc_auc"], "gates": [{"metric": "roc_auc", "at_least": 0.5}]},
    }
    for key, change in changes.items():
        document[key] = {**document.get(key, {}), **change} if isinstance(change, dict) else change
    return make_definition(**document)


def make_rows(count: int, *, seed: int = 1, start: str = "2013-01-01", days: int = 16) -> pd.DataFrame:
    """Raw rows in the order of time, a third of some columns null, with a delay that the columns explain partly."""
    random = np.random.default_rng(seed)
    minutes = np.sort(random.integers(0, days * 24 * 60, count))
    carrier = random.choice(np.array(["AA", "B6", "DL", "UA", None], dtype=object), count)
    distance = np.where(random.random(count) < 0.1, np.nan, random.gamma(2, 500, count).round(1))
    hours = minutes // 60 % 24
    delay = hours * 2 + np.where(carrier == "AA", 15, 0) + random.normal(-12, 12, count)
    return pd.DataFrame(
        {
            "left_at": np.datetime64(start, "us") + minutes.astype("timedelta64[m]"),
            "number": pd.array(np.arange(count), dtype="Int64"),
            "carrier": pd.Series(carrier, dtype=object),
            "distance": distance,
            "seats": pd.array([None if i % 3 == 0 else int(i) for i in random.integers(0, 400, count)], dtype="Int64"),
            "cargo": pd.array(random.choice(np.array([True, False, None], dtype=object), count), dtype="boolean"),
            "delay": delay,
        }
    )


def json_rows(frame: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """The rows as a client sends them."""

    def plain(value: Any) -> Any:
        if value is None or value is pd.NA or value != value:
            return None
        return value.isoformat() if isinstance(value, pd.Timestamp) else value

    return [{name: plain(row[name]) for name in columns} for row in frame[columns].astype(object).to_dict("records")]


def select_of(definition: Definition) -> str:
    """Select items as the lake computes features."""
    return ", ".join(
        f"CAST(({feature.expression}) AS {SQL_TYPES[feature.type]}) AS feature_{name}"
        for name, feature in definition.features.items()
    )


def train_model(definition: Definition, features: Any, train: Encoded, validation: Encoded, **options: Any) -> Trained:
    """Train with XGBoost."""
    return train_trees(Request(definition=definition, features=features, train=train, validation=validation, **options))


def make_package(
    folder: Path, definition: Definition | None = None, rows: pd.DataFrame | None = None, *, threads: int = 1
) -> tuple[TabularModel, dict[str, Encoded], Any]:
    """Train on some rows and write the package; returns it opened, the encoded parts, and what training gave."""
    definition = definition or make_definition()
    rows = make_rows(2000) if rows is None else rows
    features = featured(rows, definition, {"select": select_of(definition)}, folder)
    cut = int(len(rows) * 0.8)
    train = kept_rows(definition, "train", features[:cut])
    cleaning = learn_cleaning(definition, train)
    description = describe_model(
        definition,
        columns=input_columns(definition),
        feature_types=feature_types(definition),
        select=select_of(definition),
        categories=learn_categories(train, feature_types(definition), cleaning),
        cleaning=cleaning,
    )
    parts = {
        "train": encode_part(train, description["features"]),
        "validation": encode_part(kept_rows(definition, "validation", features[cut:]), description["features"]),
    }
    assert {"AA", "B6", "DL", "UA"} <= {*description["features"][1]["categories"]}
    trained = train_model(definition, description["features"], parts["train"], parts["validation"], threads=threads)
    write_package(folder / "package", estimator=trained.estimator, description=description, profile={"format": 1})
    return TabularModel.open(folder / "package"), parts, trained


def featured(rows: pd.DataFrame, definition: Definition, description: dict[str, Any], folder: Path) -> pd.DataFrame:
    """The rows as the features table holds them (computed by an independent DuckDB connection)."""
    import duckdb

    connection = duckdb.connect()
    connection.register("raw", rows)
    label = f"CAST(({label_sql(definition)}) AS DOUBLE) AS label"
    return connection.execute(f"SELECT {description['select']}, {label} FROM raw").df()

"""Real flights for the tests of the comparison: the flagship's own definition, features and trainer, a short window."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from include.datasets import land
from include.features.select import features_sql
from include.settings import Settings
from include.spec.columns import feature_types
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.spec.partitions import PartitionCalendar
from include.spec.windows import TrainingWindows, training_windows
from include.training.describe import describe
from include.training.matrices import encode_part, learn_categories
from include.training.packaged_model import encode
from tests.training.factories import train_model

#: The flagship's window is 270 days; a month is enough for real days and real seeds, and costs a tenth.
WINDOW = timedelta(days=30)
AS_OF = datetime.fromisoformat("2013-06-15T00:00:00-04:00")
WEATHER = ("temp", "wind_speed", "precip", "visib", "pressure", "humid")


@dataclass(frozen=True)
class Flights:
    """Labelled flights of the three windows as of a day.

    :param definition: the flagship's, with a short window.
    """

    definition: Definition
    train: pd.DataFrame
    validation: pd.DataFrame
    holdout: pd.DataFrame

    @property
    def labels(self) -> np.ndarray:
        """The holdout's labels, shape (rows,)."""
        return self.holdout["label"].to_numpy(dtype=np.float64)

    @property
    def partitions(self) -> np.ndarray:
        """The holdout rows' days, shape (rows,)."""
        return self.holdout["partition"].to_numpy(dtype=str)

    def predictions(self, seed: int, *, without: Collection[str] = ()) -> np.ndarray:
        """What the flagship's model of that seed says of the holdout rows, shape (rows,).

        :param without: features that it does not get.
        """
        features = {name: feature for name, feature in self.definition.features.items() if name not in without}
        training = self.definition.training.model_copy(update={"seed": seed})
        definition = self.definition.model_copy(update={"features": features, "training": training})
        described = describe(definition, learn_categories(self.train, feature_types(definition)))["features"]
        train, validation = encode_part(self.train, described), encode_part(self.validation, described)
        trained = train_model(definition, described, train, validation, threads=1)
        return trained.estimator.predict(encode(self.holdout, described))


def read_flights(home: Path) -> Flights:
    """Land the real flights below ``home`` and read the windows as of :data:`AS_OF`."""
    settings = Settings.from_environment({"NORIA_HOME": str(home)})
    land(settings, "flight_delay")
    definition = find_definition(settings, "flight_delay")
    training = definition.training.model_copy(update={"window": WINDOW})
    definition = definition.model_copy(update={"training": training})
    windows = training_windows(definition, AS_OF)
    return Flights(definition, *_read(settings.store / "landing" / "flights", definition, windows))


def _read(folder: Path, definition: Definition, windows: TrainingWindows) -> list[pd.DataFrame]:
    calendar = PartitionCalendar.of(definition)
    needed = calendar.covering(windows.train.start, windows.holdout.end)
    files = [str(folder / f"{partition.key}.parquet") for partition in needed]
    day = "strftime(scheduled_at, '%Y-%m-%d') AS partition,"
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.read_parquet(files).create_view("raw")
        query = f"SELECT * FROM ({features_sql(definition, 'raw', extra=day)}) WHERE label IS NOT NULL"
        rows = connection.sql(f"{query} ORDER BY scheduled_at, carrier, flight, origin").df()
    ends = [calendar.local(part.start) for part in (windows.train, windows.validation, windows.holdout)]
    ends.append(calendar.local(windows.holdout.end))
    times = rows["scheduled_at"]
    return [rows[(times >= start) & (times < end)] for start, end in itertools.pairwise(ends)]

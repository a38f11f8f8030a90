"""A small model's whole life, step by step in this process, with a random marker key in it; and searches for it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from include.gates.errors import GateRefused
from include.hashing import Hashing
from include.lake.table import LakeTable
from include.privacy.key import EntityKey
from include.registry.state import switch_champion
from include.serving.protocols.calls import Call
from include.serving.request_log.records import Shape
from include.serving.request_log.segments import log_folder
from include.serving.request_log.writer import Label, RequestLog
from include.settings import Settings
from include.spec.definition import Definition
from include.steps.catalog import load_step
from include.steps.protocol import Document, StepCall
from tests.training.factories import make_definition, make_rows

MODEL = "late"
DAYS = 16
AS_OF = datetime(2013, 1, 18, 5, tzinfo=UTC)
FIRST, LAST = "2013-01-01", "2013-01-16"
HELD_ON = ["2013-01-03", "2013-01-14"]
"""Days with rows of the marker: one in the training part, one in the holdout part."""


def definition_with(**changes: Any) -> Definition:
    """The factory's model with customers."""
    columns = {
        "left_at": "timestamp", "customer": "string", "number": "integer", "carrier": "string", "distance": "number",
        "seats": "integer", "cargo": "boolean", "delay": "number",
    }  # fmt: skip
    source = {"entity": ["customer", "left_at"], "columns": columns}
    evaluation = {"bootstrap_rounds": 100, "gates": [{"metric": "roc_auc", "at_least": 0.5}]}
    return make_definition(source=source, evaluation=evaluation, training={"rounds": 10}, **changes)


def rows_with(marker: str) -> pd.DataFrame:
    """Rows of customers, two of them the marker's."""
    rows = make_rows(640, days=DAYS)
    rows.insert(1, "customer", [f"c{number % 97}" for number in range(len(rows))])
    days = rows["left_at"].dt.strftime("%Y-%m-%d")
    for day in HELD_ON:
        rows.loc[rows.index[days == day][3], "customer"] = marker
    return rows


@dataclass(frozen=True)
class Life:
    """What there is, and its steps."""

    settings: Settings
    definition: Definition
    marker: str
    rows: pd.DataFrame

    @property
    def key(self) -> EntityKey:
        """The marker's key."""
        return EntityKey.read(self.definition, json.dumps({"customer": self.marker}))

    def step(self, name: str, **inputs: Any) -> Document:
        """Run a step."""
        call = StepCall(
            settings=self.settings, definition=self.definition, as_of=AS_OF, attempt=uuid.uuid4().hex, inputs=inputs
        )
        return load_step(name)(call)

    def raw(self, first: str = FIRST, last: str = LAST, *, force: bool = False) -> Document:
        """Ingest, judge and publish raw partitions; the output of publish."""
        staged = self.step("ingest", first=first, last=last, force=force)
        return self.step("publish", gate=self.step("gate", stage="raw", staged=staged))

    def data(self, first: str = FIRST, last: str = LAST, *, force: bool = False) -> None:
        """A whole data run."""
        prepared = self.step("prepare", published=self.raw(first, last, force=force))
        self.step("publish", gate=self.step("gate", stage="features", staged=prepared))

    def train(self) -> int:
        """A whole training; the version."""
        training_set = self.step("assemble")
        self.step("gate", stage="training", training_set=training_set)
        training = self.step("train", training_set=training_set)
        self.step("publish", gate=self.step("gate", stage="predictions", training=training))
        evaluation = self.step("evaluate", training=training)
        decision = self.step("decide", training=training, evaluation=evaluation)
        return int(self.step("register", training=training, evaluation=evaluation, decision=decision)["version"])

    def serve(self) -> None:
        """Log requests and a label of the marker's, and of others, as a server's worker does; not compacted yet."""
        shape = Shape(
            model=MODEL,
            version=1,
            columns={"left_at": "timestamp", "carrier": "string", "distance": "number"},
            entity={"customer": "string", "left_at": "timestamp"},
        )
        with_log = RequestLog(log_folder(self.settings.home), hashing=Hashing.of(self.settings))
        at = int(time.time() * 1e6)
        for number, row in enumerate(self.requests):
            with_log.answered(
                shape=shape, request_id=f"r{number}", role="champion", revision=1, at_us=at, asked=False,
                protocol="rows", call=Call(1, rows=[row]), predictions=[0.25], latency_us=100,
            )  # fmt: skip
            label = Label(label=1.0, request_id=f"r{number}")
            with_log.feedback(model=MODEL, request_id=f"f{number}", received_us=at, labels=[label])
        with_log.close()

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Rows as they were asked, the marker's first."""
        names = ["left_at", "customer", "carrier", "distance"]
        mine = self.rows["customer"] == self.marker
        asked = pd.concat([self.rows[mine], self.rows[~mine].head(5)])[names].astype(object)
        records = asked.where(asked.notna(), None).to_dict("records")
        return [{**row, "left_at": row["left_at"].isoformat()} for row in records]

    def refuse(self) -> None:
        """A day whose rows are refused, the marker's too: quarantine, a page, a verdict."""
        path = self.settings.store / "landing" / "2013-01-17.parquet"
        day = self.rows[self.rows["left_at"].dt.strftime("%Y-%m-%d") == HELD_ON[0]].copy()
        day["left_at"] += pd.Timedelta(days=14)
        day["delay"] = 1e9
        day.to_parquet(path, index=False)
        staged = self.step("ingest", first="2013-01-17", last="2013-01-17")
        with pytest.raises(GateRefused):
            self.step("gate", stage="raw", staged=staged)

    def digests(self, table: str) -> dict[str, str]:
        """Digest of each partition of a table."""
        return {key: one.digest for key, one in LakeTable(self.settings, MODEL, table).partitions().items()}


def begin(settings: Settings, folder: Path) -> Life:
    """Landed files with a marker, and a definition."""
    marker = f"marker-{uuid.uuid4().hex}"
    definition = definition_with()
    settings = _with_files(settings, folder, definition)
    life = Life(settings=settings, definition=definition, marker=marker, rows=rows_with(marker))
    landing = settings.store / "landing"
    landing.mkdir(parents=True)
    for day, part in life.rows.groupby(life.rows["left_at"].dt.strftime("%Y-%m-%d")):
        part.to_parquet(landing / f"{day}.parquet", index=False)
    return life


def live(settings: Settings, folder: Path) -> Life:
    """From landing to scoring."""
    life = begin(settings, folder)
    settings = life.settings
    life.data()
    version = life.train()
    switch_champion(settings, MODEL, version, actor="test", reason="test", force=True)
    life.serve()
    life.step("score", first=HELD_ON[0], last=HELD_ON[1])
    life.refuse()
    return life


def _with_files(settings: Settings, folder: Path, definition: Definition) -> Settings:
    """Definition and suites, of which raw refuses delays that cannot be and shows samples."""
    models, suites = folder / "models", folder / "expectations" / MODEL
    models.mkdir()
    suites.mkdir(parents=True)
    document = definition.model_dump(mode="json", exclude_unset=True, by_alias=True)
    (models / f"{MODEL}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    notes = {"severity": "critical", "meta": {"notes": "It matters."}}
    count = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}} | notes
    delay = {
        "type": "expect_column_values_to_be_between", "kwargs": {"column": "delay", "max_value": 1e6}
    } | notes  # fmt: skip
    for stage in ("raw", "features", "training", "predictions"):
        wanted = [count, delay] if stage == "raw" else [count]
        (suites / f"{stage}.json").write_text(json.dumps({"name": f"{MODEL}.{stage}", "expectations": wanted}))
    return replace(settings, models=models, expectations=folder / "expectations")


def places_of(text: str, *folders: Path, besides: tuple[str, ...] = ()) -> list[str]:
    """All files below folders that hold a text: in their bytes, or in what Parquet and SQLite files say decoded."""
    return sorted(
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not any(one in path.parts for one in besides) and _holds(path, text)
    )


def _holds(path: Path, text: str) -> bool:
    if text.encode() in path.read_bytes():
        return True
    return path.suffix == ".parquet" and any(text in value for value in _texts(path))


def _texts(path: Path) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for column in batch.columns:
                yield from (str(value) for value in column.to_pylist() if value is not None)

"""Rows of a key in MLflow: rows by which a version is verified, and the examples of models from before they had none.

A model's inputs are kept there without the entity, so they are found by being equal to a raw row of the key.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from include.privacy.held import Held
from include.privacy.key import EntityKey, equal
from include.privacy.lake_rows import RawRows
from include.settings import Settings
from include.training.tracking import Tracker

_ROWS: Final = "verification/rows.parquet"
_EXAMPLES: Final = ("input_example.json", "serving_input_example.json")
_PACKAGE: Final = ("artifacts/features.json", "artifacts/profile.json")
_AT_ONCE: Final = 100


@dataclass(frozen=True)
class Tracked:
    """What MLflow keeps of a model.

    :param raw: the key's raw rows.
    """

    settings: Settings
    key: EntityKey
    raw: RawRows

    def find(self) -> Held:
        """What it holds of the key."""
        return self._each(change=False)

    def erase(self) -> Held:
        """Take the key's rows out; the files of the packages themselves are not touched."""
        return self._each(change=True)

    def packages(self) -> list[str]:
        """Ids of the logged models whose own files name a value of the key, such as a category that was learned."""
        found = []
        for model in self._models:
            with tempfile.TemporaryDirectory(prefix="noria-erasing-") as folder:
                if self._package_names_key(model, Path(folder)):
                    found.append(model)
        return found

    def _each(self, *, change: bool) -> Held:
        where: dict[str, int] = {}
        if self.raw.rows.num_rows:
            for name, one in [*((f"run {r}", r) for r in self._runs), *((f"model {m}", m) for m in self._models)]:
                look = self._verification if name.startswith("run") else self._examples
                with tempfile.TemporaryDirectory(prefix="noria-erasing-") as folder:
                    if count := look(one, Path(folder), change=change):
                        where[name] = count
        return Held(place="MLflow", rows=sum(where.values()), where=where)

    @cached_property
    def _tracker(self) -> Tracker:
        return Tracker(self.settings.tracking_url)

    @cached_property
    def _experiment(self) -> str:
        return self._tracker.experiment(self.key.definition.model)

    @cached_property
    def _runs(self) -> list[str]:
        """All runs, also those that run now, failed or were deleted."""
        return list(self._pages(partial(self._tracker.client.search_runs, run_view_type=ViewType.ALL), "run_id"))

    @cached_property
    def _models(self) -> list[str]:
        return list(self._pages(self._tracker.client.search_logged_models, "model_id"))

    def _pages(self, search: Callable[..., Any], name: str) -> Iterator[str]:
        token = None
        while True:
            with self._tracker.reached("listing runs"):
                page = search([self._experiment], page_token=token, max_results=_AT_ONCE)
            yield from (str(getattr(one, name, None) or one.info.run_id) for one in page)
            token = page.token
            if not token:
                return

    def _fetched(self, address: str, folder: Path) -> Path | None:
        """A file of a run or a model; None if there is none."""
        import mlflow.artifacts

        try:
            with self._tracker.reached(f"downloading {address}"):
                return Path(mlflow.artifacts.download_artifacts(address, dst_path=str(folder)))
        except (MlflowException, OSError):
            return None

    def _verification(self, run_id: str, folder: Path, *, change: bool) -> int:
        path = self._fetched(f"runs:/{run_id}/{_ROWS}", folder)
        if path is None:
            return 0
        with pq.ParquetFile(path) as file:
            rows = file.read()
        gone = self._equals(rows)
        if change and gone.any():
            partial_file = folder / "kept" / Path(_ROWS).name
            partial_file.parent.mkdir()
            pq.write_table(rows.filter(pa.array(~gone)), partial_file, compression="zstd")
            with self._tracker.reached("writing to a run"):
                self._tracker.client.log_artifact(run_id, str(partial_file), str(Path(_ROWS).parent))
        return int(gone.sum())

    def _examples(self, model: str, folder: Path, *, change: bool) -> int:
        """Rows of the examples of versions that were logged when examples were rows of the data."""
        count = 0
        for name in _EXAMPLES:
            path = self._fetched(f"models:/{model}/{name}", folder)
            if path is None:
                continue
            document = json.loads(path.read_text(encoding="utf-8"))
            split = document.get("dataframe_split", document)
            gone = [self._is_own(dict(zip(split["columns"], row, strict=True))) for row in split.get("data", ())]
            if any(gone) and change:
                split["data"] = [row for row, is_own in zip(split["data"], gone, strict=True) if not is_own]
                kept = folder / "kept" / name
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(json.dumps(document), encoding="utf-8")
                with self._tracker.reached("writing to a model"):
                    self._tracker.client.log_model_artifact(model, str(kept))
            count += sum(gone)
        return count

    def _package_names_key(self, model: str, folder: Path) -> bool:
        texts = {value for value in self.key.plain.values() if isinstance(value, str)}
        for name in _PACKAGE:
            path = self._fetched(f"models:/{model}/{name}", folder)
            if path is None:
                continue
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".json" and texts & set(_words(json.loads(text))):
                return True
            if self.key.distinctive is not None and self.key.distinctive.search(text):
                return True
        return False

    def _equals(self, rows: pa.Table) -> np.ndarray:
        """For each row whether all its columns that raw rows have are those of a raw row of the key."""
        found = np.zeros(rows.num_rows, bool)
        columns = [name for name in self.raw.rows.column_names if name in rows.column_names]
        if columns:
            for own in self._own_rows(columns):
                same = np.ones(rows.num_rows, bool)
                for name, value in own.items():
                    same &= equal(rows[name], value) if value.is_valid else np.asarray(pc.is_null(rows[name]))
                found |= same
        return found

    def _own_rows(self, columns: Sequence[str]) -> list[dict[str, pa.Scalar]]:
        rows = self.raw.rows.select(columns)
        return [{name: rows[name][place] for name in columns} for place in range(rows.num_rows)]

    def _is_own(self, row: Mapping[str, Any]) -> bool:
        columns = [name for name in self.raw.rows.column_names if name in row]
        own = self.raw.rows.select(columns).to_pylist() if columns else []
        return any(all(_same(row[name], one[name]) for name in columns) for one in own)


def _same(given: object, own: object) -> bool:
    """Whether a value of an example is a raw value; times are texts there."""
    if isinstance(own, datetime):
        return str(given).replace(" ", "T").startswith(own.isoformat())
    if own is None or (isinstance(own, float) and math.isnan(own)):
        return given is None or given != given
    return given == own


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield str(name)
            yield from _words(one)
    elif isinstance(value, list):
        for one in value:
            yield from _words(one)

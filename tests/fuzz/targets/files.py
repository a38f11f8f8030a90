"""Files that others deliver: Parquet, CSV, Delta tables."""

from __future__ import annotations

import io
import shutil
from functools import cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from include.errors import NoriaError
from include.lake.delta_snapshot import DeltaSnapshot
from include.lake.files_source import FilesSource
from include.settings import Settings
from include.spec.definition import Definition
from tests.fuzz.target import Broken, Target, scratch
from tests.lake.delta_world import PATH, delta_definition, table_folder, write_orders
from tests.lake.factories import landing_path, make_definition, make_rows

_KEY: Final = "2024-01-01"


def parquet(data: bytes) -> None:
    """A Parquet file, staged with the same digest each time, or refused with its name."""
    _deliver(data, "parquet", make_definition())


def csv(data: bytes) -> None:
    """A CSV file, staged with the same digest each time, or refused with its name."""
    _deliver(data, "csv", make_definition(source={"path": "{store}/landing/orders/{partition}.csv"}))


def delta_log(data: bytes) -> None:
    """The newest commit of somebody else's Delta table: it can be read, or the table is refused with its name."""
    settings = _settings()
    folder = table_folder(settings)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_delta_table(), folder)
    newest = sorted((folder / "_delta_log").glob("*.json"))[-1]
    newest.write_bytes(data)
    try:
        snapshot = DeltaSnapshot(settings, delta_definition(), ("source", "path"), PATH)
        (
            len(snapshot.files),
            snapshot.schema,
            snapshot.partition_columns,
            snapshot.known("max", "at"),
            snapshot.content(),
        )
    except NoriaError as error:
        if "orders" not in str(error):
            raise Broken(f"the table is not named: {error}") from error


def _deliver(data: bytes, suffix: str, definition: Definition) -> None:
    settings = _settings()
    path = landing_path(settings, _KEY, suffix)
    path.write_bytes(data)
    outcomes = []
    for attempt in ("first", "second"):
        [found] = FilesSource(settings, definition, attempt, "suite").stage([_KEY], {})
        outcomes.append((found.status, found.rows, found.digest, found.inputs))
        if found.status == "refused" and (not found.problem or path.name not in found.problem):
            raise Broken(f"the file is not named: {found.problem}")
        if found.status not in {"staged", "refused"}:
            raise Broken(f"{found}")
    if outcomes[0] != outcomes[1]:
        raise Broken(f"first {outcomes[0]}, then {outcomes[1]}")
    shutil.rmtree(settings.store / "staging", ignore_errors=True)


@cache
def _settings() -> Settings:
    return Settings.from_environment({"NORIA_HOME": str(scratch() / "home")})


@cache
def _delta_table() -> Any:
    made = Settings.from_environment({"NORIA_HOME": str(scratch() / "made")})
    write_orders(made, "2024-01-01")
    write_orders(made, "2024-01-02")
    return table_folder(made)


def _delta_commits() -> list[bytes]:
    return [path.read_bytes() for path in sorted((_delta_table() / "_delta_log").glob("*.json"))]


def _parquet_files() -> list[bytes]:
    files = []
    for options in ({"compression": "none"}, {"compression": "zstd", "use_dictionary": False, "version": "1.0"}):
        buffer = io.BytesIO()
        pq.write_table(pa.table(make_rows(_KEY, 3)), buffer, store_schema=False, **options)
        files.append(buffer.getvalue())
    return files


_CSV: Final = [
    b"at,shop,number,price,express,days\n2024-01-01 05:00,North,1,0.5,true,2\n2024-01-01T06:00:00+01:00,,,,,\n",
    b'\xef\xbb\xbf"at",shop,number,price,express,days\r\n2024-01-01,"a ""b""\r\nc",1,1e3,f,NaN\r\n',
]
_WORDS: Final = [
    b"\r\n",
    b"\r",
    b'"',
    b'""',
    b"\0",
    b"\xff",
    b"inf",
    b"1e999",
    b"9" * 30,
    b"infinity",
    b"epoch",
    b"2024-01-01",
]
TARGETS: Final = (
    Target(name="parquet", check=parquet, seeds=_parquet_files, longest=8192),
    Target(name="csv", check=csv, seeds=lambda: _CSV, words=_WORDS, longest=1000),
    Target(
        name="delta-log",
        check=delta_log,
        seeds=_delta_commits,
        words=[b'"add":', b'"protocol":', b'"path":"', b"null", b"%"],
    ),
)

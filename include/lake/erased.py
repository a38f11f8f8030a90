"""Keys that were erased, and must not come back: a model's block list, and the condition that finds their rows.

The list holds no key but its HMAC, made with the installation's own secret. It lies in the store beside the lake, so
that whoever reads a source anew knows it; rows are hashed by DuckDB while they are read, and only if there is a list.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from include.errors import NoriaError, TryAgain
from include.hashing import Hashing
from include.lake.connections import open_duckdb, quote_name
from include.lake.paths import erased_file
from include.lake.store import store_of
from include.settings import Settings

_PADS: Final = "erased_pads"
_KEYS: Final = "erased_keys"
_FORMAT: Final = 1


class ErasedKeysUnknown(NoriaError):
    """There is a block list, but this process has another secret than the one that it was made with.

    :param model: the model.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"Keys of {model} were erased, and this process cannot tell which: it has another hashing key than the one "
            "that they were hashed with. Nothing was read. Give NORIA_HASHING_KEY the file of that key (the server's "
            "own is <home>/serving/hashing.key), in every place where steps run."
        )


class ErasedRowsStaged(TryAgain):
    """What is to be published holds rows of a key that was erased meanwhile.

    :param label: of the table.
    :param keys: of the partitions.
    """

    def __init__(self, label: str, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        super().__init__(
            f"Nothing is published to the {label}: rows of an erased key are staged in {', '.join(keys[:5])}. They "
            "were staged before the key was erased; run the step that staged them again."
        )


@dataclass(frozen=True, kw_only=True)
class ErasedKeys:
    """A model's block list.

    :param digests: HMACs (64 hex digits) by the names of the columns that the key consists of.
    """

    settings: Settings
    model: str
    digests: Mapping[tuple[str, ...], frozenset[str]]

    @classmethod
    def of(cls, settings: Settings, model: str) -> ErasedKeys:
        """The list as it is now; empty if nothing was ever erased.

        :raises ErasedKeysUnknown: this process has another secret.
        """
        document = _read(settings, model)
        if document is None:
            return cls(settings=settings, model=model, digests={})
        if document["hashing_key"] != Hashing.of(settings).name:
            raise ErasedKeysUnknown(model)
        found = {tuple(entry["columns"]): frozenset(entry["digests"]) for entry in document["erased"]}
        return cls(settings=settings, model=model, digests=found)

    def __bool__(self) -> bool:
        return bool(self.digests)

    def condition(self, connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> str | None:
        """An SQL condition that is true for rows of erased keys, over typed columns; None if no row can be one.

        :param connection: gets two small tables.
        :param columns: those that the rows have.
        """
        known = [names for names in self.digests if set(names) <= set(columns)]
        if not known:
            return None
        _register_pads(connection, Hashing.of(self.settings))
        pairs = [(number, digest) for number, names in enumerate(known) for digest in sorted(self.digests[names])]
        numbers, digests = zip(*pairs, strict=True)
        connection.register(_KEYS, pa.table({"kind": pa.array(numbers, pa.int32()), "digest": pa.array(digests)}))
        parts = (
            f"coalesce({_digest_sql(names)} IN (SELECT digest FROM {_KEYS} WHERE kind = {number}), false)"  # nosec B608
            for number, names in enumerate(known)
        )
        return f"({' OR '.join(parts)})"

    def count(self, rows: pa.Table) -> int:
        """How many of these rows are of erased keys."""
        with closing(open_duckdb(self.settings)) as connection:
            condition = self.condition(connection, rows.column_names)
            if condition is None or not rows.num_rows:
                return 0
            connection.register("counted_rows", rows)
            query = f"SELECT count(*) FROM counted_rows WHERE {condition}"  # nosec B608 # names are quoted
            [found] = connection.execute(query).fetchall()
            return int(found[0])

    def columns(self) -> list[str]:
        """All columns that an erased key consists of."""
        return sorted({name for names in self.digests for name in names})


def erasure_digest(settings: Settings, values: Mapping[str, pa.Scalar]) -> str:
    """The HMAC (64 hex digits) of a key.

    :param values: columns of the entity, in its order, with values of the types that the lake has them in.
    """
    with closing(open_duckdb(settings)) as connection:
        _register_pads(connection, Hashing.of(settings))
        connection.register("one_key", pa.table({name: pa.array([v], v.type) for name, v in values.items()}))
        [found] = connection.execute(f"SELECT {_digest_sql(tuple(values))} FROM one_key").fetchall()  # nosec B608
        return str(found[0])


def block(settings: Settings, model: str, columns: Sequence[str], digest: str) -> None:
    """Add a key to the list; the caller sees to it that nobody else does at the same time.

    :raises ErasedKeysUnknown: this process has another secret than the one of the list.
    """
    digests = {names: set(found) for names, found in ErasedKeys.of(settings, model).digests.items()}
    digests.setdefault(tuple(columns), set()).add(digest)
    document = {
        "format": _FORMAT,
        "hashing_key": Hashing.of(settings).name,
        "erased": [{"columns": list(names), "digests": sorted(found)} for names, found in sorted(digests.items())],
    }
    _write(settings, erased_file(settings, model), document)


def _write(settings: Settings, path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    store_of(settings).deliver(path)


def _read(settings: Settings, model: str) -> dict[str, Any] | None:
    path = erased_file(settings, model)
    store_of(settings).fetch(path)
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return document


def _register_pads(connection: duckdb.DuckDBPyConnection, hashing: Hashing) -> None:
    """The secret as a table: never in a query's text, which errors quote."""
    inner, outer = (pa.array([pad], pa.binary()) for pad in hashing.erasure_pads())
    connection.register(_PADS, pa.table({"inside": inner, "outside": outer}))


def _digest_sql(names: Sequence[str]) -> str:
    """HMAC-SHA256 of the columns' values as texts, each after its length; null if one of them is null."""
    texts = (f"CAST({quote_name(name)} AS VARCHAR)" for name in names)
    message = " || ".join(f"CAST(octet_length(encode({text})) AS VARCHAR) || ':' || {text}" for text in texts)
    inner = f"sha256((SELECT inside FROM {_PADS}) || encode({message}))"  # nosec B608
    return f"sha256((SELECT outside FROM {_PADS}) || unhex({inner}))"  # nosec B608

"""The place of a row of data without time: a number from 0 to 9,999, by which training, validation and holdout split.

It is a hash of the row's entity and of nothing else, so an entity has the same place on every machine, in every version
and in next year's delivery. It is defined as follows and must never change, since champions were trained by it:

1. The entity's columns are taken in the order of their names, so that listing them otherwise changes nothing.
2. Each value becomes ``<length>:<text>,``, its length in characters; a null becomes ``-,``. The text of a string is the
   string; of an integer its decimal digits; of a boolean ``true`` or ``false``; of a timestamp its microseconds since
   1970 on its own clock, in decimal digits. (Without lengths, ``ab, c`` and ``a, bc`` would be the same.)
3. The place is the first 15 hex digits of the SHA-256 of the UTF-8 of all that, as a number, modulo 10,000.

2^60 / 10,000 is so large that no place is likelier than another by more than one part in 10^14.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from include.lake.connections import quote_name
from include.spec.definition import ColumnType, Definition
from include.spec.share import WHOLE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

_HEX_DIGITS: Final = 15
_TEXTS: Final[Mapping[ColumnType, str]] = {
    "string": "CAST({0} AS VARCHAR)",
    "integer": "CAST(CAST({0} AS BIGINT) AS VARCHAR)",
    "boolean": "CASE WHEN {0} THEN 'true' ELSE 'false' END",
    "timestamp": "CAST(epoch_us(CAST({0} AS TIMESTAMP)) AS VARCHAR)",
}


def place_sql(definition: Definition) -> str:
    """A DuckDB expression for a row's place, over columns with the entity's names."""
    columns = definition.source.columns
    key = " || ".join(_part(name, columns[name]) for name in split_columns(definition))
    return f"(CAST('0x' || substr(sha256({key}), 1, {_HEX_DIGITS}) AS BIGINT) % {WHOLE})"


def row_places(definition: Definition, rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The places of rows that have the entity's columns, shape (rows,), in their order."""
    import duckdb
    import numpy as np
    import pyarrow as pa

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("entities", pa.Table.from_pandas(rows[split_columns(definition)], preserve_index=False))
        found = connection.execute(f"SELECT {place_sql(definition)} AS place FROM entities").fetchnumpy()  # nosec B608
    return np.asarray(found["place"], dtype=np.int64)


def split_columns(definition: Definition) -> list[str]:
    """The columns whose values give a row its place, in the order in which they are taken."""
    return sorted(set(definition.source.entity))


def _part(name: str, kind: ColumnType) -> str:
    column = quote_name(name)
    text = _TEXTS[kind].format(column)
    return f"CASE WHEN {column} IS NULL THEN '-,' ELSE length({text}) || ':' || {text} || ',' END"

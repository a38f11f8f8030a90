"""Further tables of a source, which its query joins with the rows of the driving one."""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import Field

from include.spec.section import Section

DRIVER: Final = "source"
"""What a query calls the rows that are partitioned: those of ``source.path``."""
TABLE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class SideTable(Section):
    """A table that is joined at ingest."""

    type: Literal["files", "delta"] = Field("files", description="`files`: Parquet or CSV files. `delta`: a table.")
    path: str = Field(
        description="files: one file, or a pattern such as `{store}/prices/*.parquet` of files with equal columns. "
        "With `{partition}` each partition has its own; without, all read the same. delta: the table's folder."
    )
    format: Literal["parquet", "csv"] | None = Field(
        None, description="files: taken from the path's ending if left out."
    )

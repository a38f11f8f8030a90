"""What can go wrong while a source file is read, and whose fault it is: the file's, or the program's and machine's."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from include.disk_faults import kernels_number

# A broken file makes DuckDB raise almost anything; these, though, are faults of ours, and are not blamed on the data.
FILE_FAULTS: Final = (duckdb.Error, pa.ArrowException, OSError)
_OUR_FAULTS: Final = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.InterruptException,
    duckdb.OutOfMemoryException,
    duckdb.ParserException,
    duckdb.PermissionException,
    duckdb.ResourceInUseException,
)


def is_ours(error: Exception) -> bool:
    """Whether it is a fault of the program or the machine (such as a full disk), not of the file."""
    if isinstance(error, _OUR_FAULTS) or (isinstance(error, OSError) and error.errno is not None):
        return True
    return kernels_number(error) is not None  # DuckDB spills, and tells of a full disk as of a file that it cannot read


def cause(error: Exception) -> str:
    """The error's first two lines, for a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] or type(error).__name__


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file, which tell whether it was written to in between."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns

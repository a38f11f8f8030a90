"""A disk that is full, read-only or broken is told as one, in the words of whatever library met it, and tried again."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.disk_faults import DiskFault, disk_fault
from include.errors import Refused, TryAgain
from include.lake.faults import is_ours
from include.settings import Settings

FULL = "/dev/full"  # takes no byte, for everybody


def by_python() -> None:
    with open(FULL, "wb", buffering=0) as file:
        file.write(b"x")


def by_arrow() -> None:
    with pa.OSFile(FULL, "wb") as sink:
        pq.write_table(pa.table({"x": list(range(1000))}), sink)


def by_duckdb() -> None:
    duckdb.sql(f"COPY (SELECT range FROM range(100000)) TO '{FULL}' (FORMAT csv, USE_TMP_FILE false)")


@pytest.mark.parametrize("write", [by_python, by_arrow, by_duckdb])
def test_a_full_disk_is_known_in_every_librarys_words(write: Callable[[], None], settings: Settings) -> None:
    with pytest.raises(Exception, match=r"(?i)space") as caught:
        write()
    fault = disk_fault(caught.value, settings)
    assert isinstance(fault, TryAgain)
    assert fault.number == errno.ENOSPC
    assert "A disk is full" in str(fault)
    assert str(settings.home) in str(fault)
    assert is_ours(caught.value), "it is not blamed on the source's file"


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/x"), errno.EROFS),
        (OSError("Generic LocalFileSystem error \x1b[31m↳\x1b[0m No space left on device (os error 28)"), errno.ENOSPC),
        (sqlite3.OperationalError("attempt to write a readonly database"), errno.EROFS),
        (OSError(errno.EIO, "Input/output error"), errno.EIO),
    ],
)
def test_other_faults_and_words_of_a_disk_are_known(error: Exception, number: int, settings: Settings) -> None:
    fault = disk_fault(error, settings)
    assert fault is not None
    assert fault.number == number
    assert "\x1b" not in str(fault)


def refuse(cause: Exception | None) -> None:
    """Make something else of a full disk, with or without naming it as the cause."""
    try:
        by_python()
    except OSError as error:
        raise Refused("The manifest cannot be read.") from (error if cause is None else cause)


def test_a_disks_fault_is_found_below_what_was_made_of_it(settings: Settings) -> None:
    with pytest.raises(Refused) as caught:
        refuse(None)
    assert isinstance(disk_fault(caught.value, settings), DiskFault)


def test_a_defect_or_a_file_that_is_not_there_is_no_disks_fault(settings: Settings) -> None:
    for error in (ValueError("index out of range"), FileNotFoundError(errno.ENOENT, "No such file", str(Path("/x")))):
        assert disk_fault(error, settings) is None
    with pytest.raises(Refused) as caught:
        refuse(ValueError("another cause"))
    assert disk_fault(caught.value, settings) is None


def test_values_that_read_like_a_disks_fault_are_no_disks_fault(settings: Settings) -> None:
    with pytest.raises(duckdb.ConversionException, match="Input/output error") as caught:
        duckdb.sql("SELECT CAST('Input/output error' AS INTEGER)").fetchall()
    errors = (caught.value, pa.ArrowInvalid("'No space left on device' is no number"), Refused("os error 28"))
    for error in errors:
        assert disk_fault(error, settings) is None
        assert not is_ours(error)

"""Names of files that lie whole, or in pieces where several machines have written them."""

from __future__ import annotations

from pathlib import Path


def piece_name(name: str, number: int | None = None) -> str:
    """Name of the Parquet file of rows called ``name``: of all of them, or of a piece, counted from 0."""
    return f"{name}.parquet" if number is None else f"{name}-{number:05}.parquet"


def piece_paths(folder: Path, name: str) -> list[Path]:
    """The files of rows called ``name``, in the rows' order; where there is none, the name that it would have whole."""
    whole = folder / piece_name(name)
    return [whole] if whole.exists() else sorted(folder.glob(f"{name}-[0-9]*.parquet")) or [whole]

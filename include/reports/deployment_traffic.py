"""The requests of a deployment, from the compacted request log: who answered how often, how fast, and what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from include.lake.connections import open_duckdb
from include.lake.table import LakeTable
from include.reports.deployment_story import Phase, Story
from include.settings import Settings

if TYPE_CHECKING:
    import duckdb

_BINS: Final = 28
_FEWEST: Final = 5
_ERRORS_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Two versions' values in equal bins.

    :param edges: shape (bins + 1,).
    :param challenger: counts, shape (bins,); likewise ``champion``.
    :param beyond: values left out at the slow end.
    """

    edges: list[float]
    challenger: list[int]
    champion: list[int]
    beyond: int = 0


@dataclass(frozen=True, kw_only=True)
class Count:
    """What reached the two versions in one phase: requests answered by each, rows scored beside, failures."""

    challenger: int
    champion: int
    scored: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """The requests of a deployment.

    :param counts: one for each phase.
    :param latencies: milliseconds of answered requests; None if a version answered too few.
    :param predictions: of the same rows by both versions; None if there are too few.
    :param of_classes: whether a prediction is a class's place.
    :param medians: median and 99th percentile, ms, by version (``challenger``, ``champion``).
    :param errors: what the challenger failed with, and how often.
    """

    counts: tuple[Count, ...]
    latencies: Shares | None
    predictions: Shares | None
    of_classes: bool
    medians: dict[str, tuple[float, float]]
    errors: tuple[tuple[str, int], ...]


def read_traffic(settings: Settings, story: Story) -> Traffic | None:
    """Read what is compacted so far; None without a champion to compare with, or without a log."""
    table = LakeTable(settings, story.model, "inference")
    if story.champion is None or not story.phases or not table.exists():
        return None
    with open_duckdb(settings, threads=1, memory="512MiB") as connection:
        connection.register("logged", table.dataset())
        connection.execute(
            """
            CREATE TEMP TABLE seen AS
            SELECT request_id, "row", "at", version = $challenger AS mine, answered, prediction, error,
                latency_us / 1000.0 AS ms
            FROM logged
            WHERE day BETWEEN $first AND $last AND "at" >= $began AND "at" <= $ended
                AND version IN ($challenger, $champion) AND NOT coalesce(asked, false)
            """,
            {
                "challenger": story.version,
                "champion": story.champion,
                "began": story.began,
                "ended": story.ended,
                "first": f"{story.began.astimezone(UTC):%Y-%m-%d}",
                "last": f"{story.ended.astimezone(UTC):%Y-%m-%d}",
            },
        )
        return Traffic(
            counts=tuple(_count(connection, phase, story.ended) for phase in story.phases),
            latencies=_latencies(connection),
            predictions=_predictions(connection, of_classes=(of_classes := _has_classes(connection))),
            of_classes=of_classes,
            medians=_medians(connection),
            errors=_errors(connection),
        )


def _count(connection: duckdb.DuckDBPyConnection, phase: Phase, ended: datetime) -> Count:
    row = connection.execute(
        """
        SELECT count(DISTINCT request_id) FILTER (mine AND answered),
            count(DISTINCT request_id) FILTER (NOT mine AND answered),
            count(*) FILTER (NOT answered AND error IS NULL), count(*) FILTER (mine AND error IS NOT NULL)
        FROM seen WHERE "at" >= ? AND "at" < ?
        """,
        [phase.began, phase.ended or ended],
    ).fetchone() or (0, 0, 0, 0)
    return Count(challenger=row[0], champion=row[1], scored=row[2], failed=row[3])


def _latencies(connection: duckdb.DuckDBPyConnection) -> Shares | None:
    found = connection.execute('SELECT ms, mine FROM seen WHERE answered AND "row" = 0 AND ms IS NOT NULL').fetchnumpy()
    values, mine = _numbers(found["ms"]), np.asarray(found["mine"], dtype=bool)
    if min(int(mine.sum()), int((~mine).sum())) < _FEWEST:
        return None
    top = float(np.quantile(values, 0.99))
    return _shares(values[mine], values[~mine], 0.0, top if top > 0 else 1.0)


def _has_classes(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether answers are classes: then ``prediction`` is a class's place."""
    return "probabilities" in {row[0] for row in connection.execute("DESCRIBE logged").fetchall()}


def _predictions(connection: duckdb.DuckDBPyConnection, *, of_classes: bool) -> Shares | None:
    found = connection.execute(
        """
        SELECT max(prediction) FILTER (mine) AS mine, max(prediction) FILTER (NOT mine) AS other
        FROM seen WHERE error IS NULL AND prediction IS NOT NULL
        GROUP BY request_id, "row" HAVING bool_or(mine) AND bool_or(NOT mine)
        """
    ).fetchnumpy()
    mine, other = _numbers(found["mine"]), _numbers(found["other"])
    if mine.size < _FEWEST:
        return None
    both = np.concatenate((mine, other))
    if of_classes:
        places = int(both.max()) + 1
        return _shares(mine, other, -0.5, places - 0.5, bins=places)
    return _shares(mine, other, float(both.min()), float(both.max()))


def _shares(
    mine: npt.NDArray[np.float64], other: npt.NDArray[np.float64], low: float, high: float, bins: int = _BINS
) -> Shares:
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    beyond = int((mine > edges[-1]).sum() + (other > edges[-1]).sum())
    return Shares(
        edges=edges.tolist(),
        challenger=np.histogram(mine, edges)[0].tolist(),
        champion=np.histogram(other, edges)[0].tolist(),
        beyond=beyond,
    )


def _medians(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[float, float]]:
    rows: Sequence[Any] = connection.execute(
        """
        SELECT mine, median(ms), quantile_cont(ms, 0.99) FROM seen
        WHERE answered AND "row" = 0 AND ms IS NOT NULL GROUP BY mine
        """
    ).fetchall()
    return {"challenger" if mine else "champion": (float(half), float(most)) for mine, half, most in rows}


def _errors(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[str, int], ...]:
    rows = connection.execute(
        """
        SELECT error, count(*) AS many FROM seen WHERE mine AND error IS NOT NULL
        GROUP BY error ORDER BY many DESC, error LIMIT ?
        """,
        [_ERRORS_SHOWN],
    ).fetchall()
    return tuple((str(text)[:300], int(many)) for text, many in rows)


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    """A column of numbers; null is NaN."""
    masked: Any = np.ma.masked_array(values).astype(np.float64)
    return np.asarray(masked.filled(np.nan))

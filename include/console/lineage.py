"""From which data a version or a prediction was made, and what data touched.

MLflow is asked over HTTP, since importing its client takes seconds; what reads tables is imported when it is asked for.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from include.registry.mlflow_client import TrackingAway, summary
from include.registry.version_tags import COMPARED_WITH, FEATURES_DIGEST, TABLE_VERSION, TRAINING_SET
from include.settings import Settings

if TYPE_CHECKING:
    from include.registry.lineage import DataTable
    from include.spec.definition import Definition

SECONDS: Final = 4
MOST: Final = 200


@dataclass(frozen=True, kw_only=True)
class Made:
    """A model version that was made from partitions which a version of a table wrote.

    :param partitions: how many of them, from the first to the last.
    :param answers: what it answered since, by table: ``inference`` (requests), ``scores`` (batches).
    """

    version: int
    status: str
    partitions: int
    first: str
    last: str
    answers: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Touched:
    """What a version of a table wrote, and what came of it.

    :param wrote: how many partitions are other in it than in the version before.
    """

    table: str
    version: int
    wrote: int
    made: list[Made]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A row of a request: which version answered it, and as what."""

    row: int
    at: datetime
    version: int
    role: str


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a version was made from; None where its registration did not say.

    :param training_set: digest of the training set.
    :param compared_with: the champion that it met on the holdout part.
    """

    version: int
    run_id: str | None
    raw_version: int | None
    features_version: int | None
    features_digest: str | None
    training_set: str | None
    compared_with: int | None


def origins(settings: Settings, model: str) -> list[Origin]:
    """The origins of a model's newest versions, oldest first.

    :raises TrackingAway: MLflow cannot be reached, or does not answer within a few seconds.
    """
    return sorted((_origin(one) for one in _versions(settings, model)), key=lambda origin: origin.version)


def touched(settings: Settings, definition: Definition, table: DataTable, version: int) -> Touched:
    """Which versions and predictions a version of a table has touched; it opens the tables' logs, so it takes a moment.

    :raises NoSuchVersion: the table has no such version any more.
    :raises TrackingAway: MLflow cannot be reached.
    :raises DatabaseAway: the database cannot be reached.
    """
    from include.registry.lineage import touched_by

    tags = {int(one["version"]): _tags(one) for one in _versions(settings, definition.model)}
    written, found = touched_by(settings, definition, table, version, tags)
    made = [
        Made(
            version=one.registered.version, status=one.registered.status, partitions=len(one.keys),
            first=min(one.keys), last=max(one.keys), answers={told.table: told.rows for told in one.predictions},
        )
        for one in found
    ]  # fmt: skip
    return Touched(table=table, version=version, wrote=len(written), made=made)


def answered(settings: Settings, model: str, request_id: str) -> list[Answered]:
    """Which version answered each row of a request; what that was made from, :func:`origins` says.

    :raises RequestUnknown: the request log does not have it.
    """
    from include.registry.lineage import answers_of

    found = answers_of(settings, model, request_id)
    return [Answered(row=one.row, at=one.at, version=one.version, role=one.role) for one in found]


def _versions(settings: Settings, model: str) -> list[dict[str, Any]]:
    """MLflow's documents of a model's newest versions."""
    query = urllib.parse.urlencode(
        {"filter": f"name='{model}'", "max_results": MOST, "order_by": "version_number DESC"}
    )
    address = f"{settings.tracking_url.rstrip('/')}/api/2.0/mlflow/model-versions/search?{query}"
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:  # noqa: S310 # nosec B310 # an operator's
            return list(json.load(answer).get("model_versions") or [])
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise TrackingAway(f"reading the origins of {model}", summary(error)) from error


def _tags(document: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in document.get("tags") or []}


def _origin(document: dict[str, Any]) -> Origin:
    tags = _tags(document)
    return Origin(
        version=int(document["version"]),
        run_id=document.get("run_id"),
        raw_version=_number(tags.get(TABLE_VERSION["raw"])),
        features_version=_number(tags.get(TABLE_VERSION["features"])),
        features_digest=tags.get(FEATURES_DIGEST),
        training_set=tags.get(TRAINING_SET),
        compared_with=_number(tags.get(COMPARED_WITH)),
    )


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None

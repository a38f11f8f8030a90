"""From which data a version was made, as MLflow keeps it; asked over HTTP, since importing its client takes seconds."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

from include.registry.mlflow_client import TrackingAway, summary
from include.settings import Settings

SECONDS: Final = 4
MOST: Final = 200


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
    query = urllib.parse.urlencode(
        {"filter": f"name='{model}'", "max_results": MOST, "order_by": "version_number DESC"}
    )
    address = f"{settings.tracking_url.rstrip('/')}/api/2.0/mlflow/model-versions/search?{query}"
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:  # noqa: S310 # nosec B310 # an operator's
            found = json.load(answer).get("model_versions") or []
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise TrackingAway(f"reading the origins of {model}", summary(error)) from error
    return sorted((_origin(one) for one in found), key=lambda origin: origin.version)


def _origin(document: dict[str, Any]) -> Origin:
    tags = {tag["key"]: tag["value"] for tag in document.get("tags") or []}
    return Origin(
        version=int(document["version"]),
        run_id=document.get("run_id"),
        raw_version=_number(tags.get("noria.raw_version")),
        features_version=_number(tags.get("noria.features_version")),
        features_digest=tags.get("noria.features_digest"),
        training_set=tags.get("noria.training_set"),
        compared_with=_number(tags.get("noria.compared_with")),
    )


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None

"""The tags by which MLflow's versions name what they were made from: register writes them, lineage reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TRAINING_SET: Final = "noria.training_set"
FEATURES_DIGEST: Final = "noria.features_digest"
COMPARED_WITH: Final = "noria.compared_with"
EVALUATION_REPORT: Final = "noria.evaluation_report"
TABLE_VERSION: Final = {"raw": "noria.raw_version", "features": "noria.features_version"}
"""The tag with the version of each table that a model version is made from."""


def made_from(training_set: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a version, as far as they are known.

    :param training_set: output of the step assemble.
    :param evaluation: output of the step evaluate.
    """
    found = {
        TRAINING_SET: training_set.get("digest"),
        **{tag: training_set.get(f"{table}_version") for table, tag in TABLE_VERSION.items()},
        FEATURES_DIGEST: training_set.get("features_digest"),
        COMPARED_WITH: evaluation.get("champion_version"),
        EVALUATION_REPORT: evaluation.get("report"),
    }
    return {tag: str(value) for tag, value in found.items() if value is not None}

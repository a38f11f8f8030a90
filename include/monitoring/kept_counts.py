"""Counts of partitions that an earlier check made: a check counts what is new, and adds up.

One small file for each model holds the counts of the partitions of its last check, by the digest of their rows and over
the bins of one reference. Another champion has other bins, so its first check counts all of its window. The file can be
lost or broken at any time: then everything is counted again.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from include.lake.digests import inputs_digest
from include.lake.paths import checked_model
from include.lake.store import store_of
from include.monitoring.counting import Counts
from include.settings import Settings
from include.training.column_profile import from_vector, to_vector

COUNTS_FORMAT: Final = 1  # raised when the same rows would be counted otherwise
_SHAPE: Final = ("type", "edges", "values", "rare")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptCounts:
    """The file of a model, for one reference.

    :param reference: column profiles by feature.
    """

    settings: Settings
    model: str
    reference: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """Where it lies in the store."""
        return self.settings.store / "monitoring" / checked_model(self.model) / "counts.json"

    def read(self, digests: Mapping[str, str]) -> dict[str, Counts]:
        """What is known of partitions.

        :param digests: of the partitions' rows, by key.
        """
        store_of(self.settings).fetch(self.path)
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            if document["reference"] != self._digest():
                return {}
            kept = document["partitions"]
            return {
                key: self._counts(kept[key])
                for key, digest in digests.items()
                if key in kept and kept[key]["digest"] == digest
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("The counts in %s cannot be read (%s); everything is counted again.", self.path, error)
            return {}

    def write(self, digests: Mapping[str, str], counts: Mapping[str, Counts]) -> None:
        """Keep the counts of these partitions, and of no others."""
        partitions = {
            key: {
                "digest": digests[key],
                "rows": one.rows,
                "columns": {name: to_vector(column) for name, column in one.columns.items()},
            }
            for key, one in counts.items()
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}")
        partial.write_text(json.dumps({"reference": self._digest(), "partitions": partitions}), encoding="utf-8")
        partial.replace(self.path)
        store_of(self.settings).deliver(self.path)

    def _counts(self, kept: Mapping[str, Any]) -> Counts:
        columns = {name: from_vector(self.reference[name], kept["columns"][name]) for name in self.reference}
        return Counts(int(kept["rows"]), columns)

    def _digest(self) -> str:
        shapes = {name: [profile.get(key) for key in _SHAPE] for name, profile in self.reference.items()}
        return inputs_digest(format=COUNTS_FORMAT, reference=shapes)

"""What came of a replay: counts by version, refusals, failures, latencies."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from include.serving.http_connection import Answer

_SHOWN = 10
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


@dataclass
class Tally:
    """Counts while a replay runs.

    :param sent: requests.
    :param rows: rows in them.
    :param failed: requests without an answer (connection lost) or with a 5xx.
    :param behind: most seconds that a request was sent after its time.
    """

    sent: int = 0
    rows: int = 0
    answered: Counter[tuple[int, str]] = field(default_factory=Counter)
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    labels_sent: int = 0
    labels_accepted: int = 0
    labels_refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    labels_failed: Counter[str] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("d"))
    behind: float = 0.0

    def add(self, answer: Answer, seconds: float) -> bool:
        """Count an answer to a request; returns whether it is a prediction."""
        if answer.status == 200:
            headers = answer.headers
            role = headers.get(b"x-noria-role", b"champion").decode()
            self.answered[int(headers.get(b"x-noria-version", b"0")), role] += 1
            self.latencies.append(seconds)
            return True
        if answer.status < 500:
            self.refused[answer.status, problem(answer)] += 1
        else:
            self.failed[f"HTTP {answer.status}: {problem(answer)}"] += 1
        return False

    def to_document(self, seconds: float) -> dict[str, Any]:
        """Everything as JSON.

        :param seconds: how long requests were sent.
        """
        return {
            "sent": self.sent,
            "rows": self.rows,
            "answered": self.answered.total(),
            "by_version": [
                {"version": version or None, "role": role, "answered": count}
                for (version, role), count in sorted(self.answered.items())
            ],
            "refused": self.refused.total(),
            "refusals": _shown(self.refused),
            "failed": self.failed.total(),
            "failures": [{"problem": text, "count": count} for text, count in self.failed.most_common(_SHOWN)],
            "labels": {
                "sent": self.labels_sent,
                "accepted": self.labels_accepted,
                "refused": self.labels_refused.total(),
                "refusals": _shown(self.labels_refused),
                "failed": self.labels_failed.total(),
                "failures": [
                    {"problem": text, "count": count} for text, count in self.labels_failed.most_common(_SHOWN)
                ],
            },
            "latency_ms": self._latency(),
            "seconds": round(seconds, 3),
            "requests_per_second": round(self.sent / seconds, 1) if seconds > 0 else None,
            "behind_s": round(self.behind, 3),
        }

    def _latency(self) -> dict[str, float | None]:
        ordered = sorted(self.latencies)
        if not ordered:
            return {**dict.fromkeys(_QUANTILES), "max": None}
        found = {name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] for name, part in _QUANTILES.items()}
        return {name: round(value * 1000, 3) for name, value in (found | {"max": ordered[-1]}).items()}


def problem(answer: Answer) -> str:
    """What an answer says is wrong: its field and error, or the beginning of its text."""
    try:
        document = orjson.loads(answer.body)
        text = str(document["error"])
        field = document.get("field")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return answer.body[:200].decode("utf-8", "replace")
    return (f"{field}: {text}" if field else text)[:300]


def _shown(counts: Counter[tuple[int, str]]) -> list[dict[str, Any]]:
    return [{"status": status, "problem": text, "count": count} for (status, text), count in counts.most_common(_SHOWN)]

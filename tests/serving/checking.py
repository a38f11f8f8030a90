"""What a load must leave behind: answers of versions that were in state then, and each answer in the log once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from include.registry.ledger import LedgerEntry, history
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.tables import dataset
from include.settings import Settings
from tests.serving.live import until
from tests.serving.load import Load, Sent

CONVERGENCE = 2.0


@dataclass(frozen=True)
class Span:
    """A deployment state and when it held, seconds since the epoch."""

    entry: LedgerEntry
    begin: float
    end: float

    def may_answer(self, sent: Sent, convergence: float) -> bool:
        """Whether the answer's version could give it: it was in state then, in its role, with a share."""
        held = self.entry.state.get(sent.role or "") == sent.version
        answers = sent.role == "champion" or self.entry.shares.get(sent.role or "", 0.0) > 0
        return held and answers and self.begin <= sent.ended and sent.started <= self.end + convergence


def spans(settings: Settings, model: str) -> list[Span]:
    """The states of a model in order; the last one holds on."""
    entries = history(settings, model)
    times = [entry.at.timestamp() for entry in entries] + [float("inf")]
    return [Span(entry, begin, end) for entry, (begin, end) in zip(entries, pairwise(times), strict=True)]


def wrong_versions(settings: Settings, model: str, load: Load, *, convergence: float = CONVERGENCE) -> list[Sent]:
    """Answers by a version that was not in state, in the role that it named, at any time of the request.

    :param convergence: seconds that the server may take to follow the state.
    """
    states = spans(settings, model)
    return [sent for sent in load.answered if not any(span.may_answer(sent, convergence) for span in states)]


@dataclass(frozen=True)
class LogFaults:
    """What is wrong with the log, as request ids: all empty if nothing is."""

    absent: list[str]
    repeated: list[str]
    otherwise: list[str]
    unknown: list[str]

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.absent or self.repeated or self.otherwise or self.unknown)


def log_faults(settings: Settings, model: str, loads: Iterable[Load]) -> LogFaults:
    """Compare the log with what was answered: each answer once, by the version and role that it named, nothing else.

    A request whose connection was lost may be in the log, once: its answer may have been under way.
    """
    sent = [one for load in loads for one in load.sent]
    answered = {one.request_id: (one.version, one.role) for one in sent if one.status == 200}
    lost = {one.request_id for one in sent if one.status == 0}
    logged = logged_answers(settings, model)
    counts = Counter(request_id for request_id, _, _ in logged)
    named = {request_id: (version, role) for request_id, version, role in logged}
    return LogFaults(
        absent=sorted(answered.keys() - counts.keys()),
        repeated=sorted(request_id for request_id, count in counts.items() if count > 1),
        otherwise=sorted(one for one, by in answered.items() if one in named and named[one] != by),
        unknown=sorted(counts.keys() - answered.keys() - lost),
    )


def logged_answers(settings: Settings, model: str) -> list[tuple[str, int, str]]:
    """Request id, version and role of each answered row in the table; what lies in segments is brought there first."""
    until(Compactor(settings).run, 60)  # while the server compacts itself, this one has to wait
    columns = ["request_id", "version", "role", "answered"]
    rows = dataset(settings, model, "inference").to_table(columns=columns)
    values = zip(*(rows.column(name).to_pylist() for name in columns), strict=True)
    return [(request_id, version, role) for request_id, version, role, answered in values if answered]


def rows_in_table(settings: Settings, model: str) -> int:
    """Answered rows that the server itself has brought into the table so far."""
    return (
        dataset(settings, model, "inference").to_table(columns=["answered"]).column("answered").to_pylist().count(True)
    )

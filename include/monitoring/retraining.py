"""Whether drift or decay starts a retraining: once for a window, not again within the cooldown, so often in a week.

Cooldown and week are of data time, so that a backfill of old checks follows the same rules. Both causes share them.

The memory is the table ``check_result``: rows of the kinds ``drift`` and ``decay`` whose details say ``retrain``.
Asking again for the same as-of and window gets the same answer and the same ``start_id``, by which a starter knows
what it has started.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from include.spec.definition import Retrain
from include.spec.duration import format_duration

Cause = Literal["drift", "decay"]

_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True)
class EarlierStart:
    """A retraining that a check has started.

    :param as_of: of the run that started it.
    :param window_end: end of the window in which the cause was found.
    :param champion_version: the champion that the window was compared with.
    :param start_id: its name.
    """

    as_of: datetime
    window_end: datetime
    champion_version: int
    start_id: str

    @classmethod
    def from_details(cls, as_of: datetime, details: dict[str, Any]) -> EarlierStart | None:
        """Read a check result's details; None if it started nothing."""
        if not details.get("retrain"):
            return None
        window_end = datetime.fromisoformat(details["window"]["end"])
        return cls(as_of, window_end, int(details["champion_version"]), str(details["start_id"]))


@dataclass(frozen=True)
class Answer:
    """Whether to start a retraining, and why or why not.

    :param start_id: name of the start, the same for the same window and champion; None if nothing is started.
    """

    retrain: bool
    reason: str
    start_id: str | None = None


def answer_alarm(
    model: str,
    cause: Cause,
    *,
    as_of: datetime,
    window_end: datetime,
    champion_version: int,
    champion_as_of: datetime,
    rules: Retrain,
    earlier: Iterable[EarlierStart],
) -> Answer:
    """Whether drift or decay in this window starts a retraining.

    :param earlier: what any cause has started.
    """
    starts = list(earlier)
    for start in starts:
        if start.start_id.startswith(f"{cause}-") and (start.as_of, start.window_end, start.champion_version) == (
            as_of,
            window_end,
            champion_version,
        ):
            return Answer(True, "This check has started this retraining already.", start.start_id)
    if not (rules.on_drift if cause == "drift" else rules.on_decay):
        return Answer(False, f"The definition does not retrain on {cause}.")
    if as_of <= champion_as_of:
        return Answer(False, _nothing_new(as_of, champion_as_of))
    recent = [start for start in starts if start.window_end > window_end - rules.cooldown]
    if recent:
        last = max(start.window_end for start in recent)
        when = f"data up to {last.isoformat()} has started a retraining already"
        return Answer(
            False, f"No retraining: {when}, and the cooldown is {format_duration(rules.cooldown)} of data time."
        )
    if held := _held_by_the_week(window_end, rules.at_most_per_week, starts):
        return Answer(False, held)
    return Answer(True, "A retraining starts.", _start_id(cause, model, window_end, champion_version))


def _held_by_the_week(window_end: datetime, limit: int, starts: Iterable[EarlierStart]) -> str | None:
    """Why the weekly limit allows no other start; None if it does."""
    within = {start.start_id: start.window_end for start in starts if start.window_end > window_end - _WEEK}
    if len(within) < limit:
        return None
    last = max(within.values()).isoformat()
    times = "one retraining" if len(within) == 1 else f"{len(within)} retrainings"
    return (
        f"No retraining: checks have started {times} within seven days of data time already, the last one by data up "
        f"to {last}, and monitoring.retrain.at_most_per_week is {limit}."
    )


def _nothing_new(as_of: datetime, champion_as_of: datetime) -> str:
    """Why a retraining as of this check would not bring anything."""
    trained = f"version is trained as of {champion_as_of.isoformat()}"
    if as_of < champion_as_of:
        return f"No retraining: the champion's {trained}, which is newer than this check."
    return (
        f"No retraining: the champion's {trained} already, so one could only reproduce it; newer data must come first."
    )


def _start_id(cause: Cause, model: str, window_end: datetime, champion_version: int) -> str:
    text = f"{model}|{window_end.timestamp():.0f}|{champion_version}"
    return f"{cause}-{window_end:%Y%m%d}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

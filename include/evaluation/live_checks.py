"""The checks of how a challenger answers: whether it fails, whether it is slow. What it answers: ``live_quality.py``.

Each check has its own small chance of a false alarm over all looks that it will ever take; together less than 5 %.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from include.evaluation.grouping import Floats
from include.evaluation.live_evidence import LiveEvidence, Rules
from include.evaluation.live_intervals import lowest_share, median_bounds, tail
from include.evaluation.live_looks import look_at

#: Chance of a false alarm, over all looks, of each check.
ERRORS_ALPHA: Final = 0.005
LATENCY_ALPHA: Final = 0.003

#: Chance of what is seen, within the bound, below which a check holds the stage.
SUSPICION: Final = 0.05

ERRORS_FIRST: Final = 20
LATENCY_FIRST: Final = 50
#: Rows timed in pairs: every fourth one is.
PAIRS_FIRST: Final = 25


@dataclass(frozen=True)
class Check:
    """One check and what came out.

    :param check: its name.
    :param value: what was measured; None if nothing could be.
    :param bound: what it may be.
    :param passed: False: the challenger is to be taken out.
    :param enough: whether there was enough evidence to look at; without it a check passes.
    :param words: the outcome for a person.
    :param holds: a reason not to go on to the next stage yet although it passed; None if there is none.
    """

    check: str
    value: float | None
    bound: float | None
    passed: bool
    enough: bool
    words: str
    holds: str | None = None

    def to_document(self) -> dict[str, Any]:
        """The same as JSON, without NaN."""
        document = asdict(self)
        for name in ("value", "bound"):
            if document[name] is not None and not math.isfinite(document[name]):
                document[name] = None
        return document


def not_yet(check: str, bound: float | None, have: int, need: int, what: str) -> Check:
    """A check that has too little to look at."""
    return Check(check, None, bound, True, False, f"{check}: {have} of {need} {what} so far")


def _judged(name: str, value: float, bound: float, passed: bool, words: str, chance: float) -> Check:
    """A check that has looked. What seems to be over its bound, but not surely, holds the stage until more rows tell.

    :param chance: of seeing as much within the bound, without correction for repeated looks.
    """
    seems = passed and chance < SUSPICION
    holds = f"{words}: it seems too much, which more rows will tell" if seems else None
    return Check(name, value, bound, passed, True, words, holds=holds)


def errors(evidence: LiveEvidence, rules: Rules) -> Check:
    """Rows on which the challenger alone fails: more than allowed, and more than those on which only the champion does.

    Exact binomial bounds. Rows on which both fail are the request's fault.
    """
    rows, allowed = evidence.rows, rules.error_rate
    look = look_at(rows.challenger.size, ERRORS_FIRST, ERRORS_ALPHA)
    if look is None:
        return not_yet("errors", allowed, rows.challenger.size, ERRORS_FIRST, "rows")
    mine, others = rows.challenger_failed[look.rows], rows.champion_failed[look.rows]
    failed, alone, of = int((mine & ~others).sum()), int((others & ~mine).sum()), mine.size
    bound = max(allowed, alone / of)
    chance = tail(failed, of, bound)
    passed = chance >= look.alpha
    words = f"it alone failed on {failed} of {of} rows ({failed / of:.2%}), the champion alone on {alone}"
    if not passed:
        words += f"; that is at least {lowest_share(failed, of, look.alpha):.2%}, and {bound:.2%} is allowed"
    return _judged("errors", failed / of, bound, passed, words, chance)


def slowest(evidence: LiveEvidence, rules: Rules) -> Check | None:
    """The 99th percentile of its latency: surely above the limit, and more often above it than the champion.

    Of answered requests where there are enough, else of rows scored in pairs. Exact binomial bound on the share of
    rows above the limit. Where the champion is as slow it is the machine, and going back to it would not help.
    """
    if rules.p99_ms is None:
        return None
    found = evidence.latencies
    name, limit = "p99_ms", rules.p99_ms
    answered = int(found.by_challenger.sum())
    if answered >= LATENCY_FIRST:
        mine, others, alpha = _answered_side_by_side(evidence)
    else:
        look = look_at(found.challenger.size, LATENCY_FIRST, LATENCY_ALPHA)
        if look is None:
            return not_yet(name, limit, max(answered, found.challenger.size), LATENCY_FIRST, "timed rows")
        mine, others, alpha = found.challenger[look.rows], found.champion[look.rows], look.alpha
    over, of = int((mine > limit).sum()), mine.size
    allowed = max(0.01, float((others > limit).mean()) if others.size else 0.0)
    chance = tail(over, of, allowed)
    passed = chance >= alpha
    value = float(np.quantile(mine, 0.99))
    champion = f", the champion's {np.quantile(others, 0.99):.1f} ms" if others.size else ""
    words = f"its 99th percentile is {value:.1f} ms (limit {limit:g} ms){champion}; {over} of {of} rows above the limit"
    return _judged(name, value, limit, passed, words, chance)


def _answered_side_by_side(evidence: LiveEvidence) -> tuple[Floats, Floats, float]:
    """Latencies of challenger and champion in the same stretch of time, and what the look may spend."""
    found = evidence.latencies
    places = np.flatnonzero(found.by_challenger)
    look = look_at(places.size, LATENCY_FIRST, LATENCY_ALPHA)
    if look is None:
        return np.empty(0), np.empty(0), LATENCY_ALPHA
    window = slice(0 if look.start == 0 else places[look.start], places[look.stop - 1] + 1)
    values, mine = found.answered[window], found.by_challenger[window]
    return values[mine], values[~mine], look.alpha


def _in_words(milliseconds: float) -> str:
    return f"{abs(milliseconds):.1f} ms {'longer' if milliseconds >= 0 else 'less'}"


def slower(evidence: LiveEvidence, rules: Rules) -> Check:
    """What it adds to the champion's latency: the median difference on the same rows, timed by the same process.

    The sign test's bound: surely more than half of the rows take longer by more than is allowed.
    """
    name, allowed, found = "added_ms", rules.added_ms, evidence.latencies
    look = look_at(found.challenger.size, PAIRS_FIRST, LATENCY_ALPHA)
    if look is None:
        return not_yet(name, allowed, found.challenger.size, PAIRS_FIRST, "rows timed in pairs")
    added = found.challenger[look.rows] - found.champion[look.rows]
    over = int((added > allowed).sum())
    chance = tail(over, added.size, 0.5)
    passed = chance >= look.alpha
    value = float(np.median(added))
    words = (
        f"it takes {_in_words(value)} than the champion on the same {added.size} rows (median; limit {allowed:g} ms)"
    )
    return _judged(name, value, allowed, passed, words, chance)


def slower_answers(evidence: LiveEvidence, rules: Rules) -> Check | None:
    """The same of answered requests: the difference of the medians in the same stretch of time, by order statistics."""
    name, allowed = "added_ms_answered", rules.added_ms
    if not evidence.latencies.by_challenger.any():
        return None
    mine, others, alpha = _answered_side_by_side(evidence)
    if min(mine.size, others.size) < LATENCY_FIRST:
        return not_yet(name, allowed, min(mine.size, others.size), LATENCY_FIRST, "answers of each version")
    lowest = median_bounds(mine, alpha / 4)[0] - median_bounds(others, alpha / 4)[1]
    value = float(np.median(mine) - np.median(others))
    words = (
        f"its answers take {_in_words(value)} than the champion's in the same time "
        f"(medians of {mine.size} and {others.size}; limit {allowed:g} ms)"
    )
    return Check(name, value, allowed, lowest <= allowed, True, words)

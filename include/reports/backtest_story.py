"""What a backtest has shown, in sentences; each is made from its figures and only says what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

Document = Mapping[str, Any]
_NAMED: Final = 4


def conclusions(report: Document) -> list[str]:
    """The sentences, most general first.

    :param report: what the backtest has found (:mod:`include.backtest.loop`).
    """
    windows = report["windows"]
    found = [_began(report), _drift(windows), _decay(report), _started(windows)]
    found += [*_kept(report), *_promoted(report), _hurts(report)]
    found += [_compared(report, "never", "never training again"), _compared(report, "always", "each new training")]
    return [sentence for sentence in found if sentence]


def between(change: Document | None) -> str:
    """A change with its interval, as pages write it."""
    if change is None or change["value"] is None:
        return "–"
    if change["low"] is None:
        return f"{change['value']:+.3f}"
    return f"{change['value']:+.3f} [{change['low']:+.3f}, {change['high']:+.3f}]"


def surely(change: Document | None) -> int:
    """1 if a change is better beyond chance, -1 if worse, 0 if neither can be said."""
    if change is None or change["low"] is None:
        return 0
    return 1 if change["low"] > 0 else -1 if change["high"] < 0 else 0


def _began(report: Document) -> str:
    first, rows = report["first"], report["first"]["rows"]
    trained = first["windows"]["train"]
    total = report["over_all"].get("rows", 0)
    passed = "" if first["passed"] else f" Its own gates would not have let it in: {first['reason']}"
    return (
        f"The first model is as of {_day(first['as_of'])}: trained on {rows['train']:,} rows from "
        f"{_day(trained['start'])} on, validated and judged on what came then. "
        f"{_many(len(report['windows']), 'window')} with {total:,} labelled rows follow.{passed}"
    )


def _drift(windows: Sequence[Document]) -> str:
    drifted = [one for one in windows if one["drift"]["verdict"] == "drift"]
    counted = Counter(feature["name"] for one in windows for feature in one["drift"]["features"])
    said = ", ".join(f"{name} in {count}" for name, count in counted.most_common(_NAMED))
    often = f" Single features moved: {said}." if said else ""
    if not drifted:
        return f"In none of {_many(len(windows), 'window')} did the data drift from what the champion knew.{often}"
    return f"The data drifted in {len(drifted)} of {_many(len(windows), 'window')}: {_names(drifted)}.{often}"


def _decay(report: Document) -> str:
    windows, title = report["windows"], report["metric"]["title"]
    judged = [one for one in windows if one["decay"]["verdict"] != "not enough data"]
    if not judged:
        return "Of no window were enough labels known to judge the champion's answers."
    decayed = [one for one in judged if one["decay"]["verdict"] == "decay"]
    if not decayed:
        return f"Labels show no decay in {_many(len(judged), 'window')} that could be judged."
    others = [one for one in judged if one not in decayed]
    beside = f", against {_range(others)} in the others" if others else ""
    return (
        f"Labels show decay in {len(decayed)} of {_many(len(judged), 'window')} that could be judged: "
        f"{_names(decayed)}. There the champion's {title} was {_range(decayed)}{beside}."
    )


def _started(windows: Sequence[Document]) -> str:
    started = [one for one in windows if one["started"]]
    if not started:
        return "No check started a retraining."
    verdicts = Counter(one["retraining"]["verdict"] for one in started)
    causes = Counter(str(one["started"]).partition("-")[0] for one in started)
    words = {"promote": "won and replaced the champion", "keep": "lost", "refused": "could not be trained"}
    said = ", ".join(f"{verdicts[name]} {word}" for name, word in words.items() if verdicts[name])
    why = " and ".join(f"{count} by {cause}" for cause, count in causes.most_common())
    return f"Checks started {_many(len(started), 'retraining')} ({why}): {said}."


def _kept(report: Document) -> list[str]:
    pairs = [(one, after) for one, after in _pairs(report) if one["retraining"]["verdict"] == "keep"]
    return [_afterwards("lost", pairs, wanted=-1)] if pairs else []


def _promoted(report: Document) -> list[str]:
    pairs = [(one, after) for one, after in _pairs(report) if one["retraining"]["verdict"] == "promote"]
    return [_afterwards("won", pairs, wanted=1)] if pairs else []


def _pairs(report: Document) -> list[tuple[Document, Document]]:
    """Windows at whose end a retraining was judged, each with the next, in which both models can be compared."""
    windows = report["windows"]
    return [
        (one, after)
        for one, after in pairwise(windows)
        if one["retraining"] and after["hindsight"] and after["hindsight"]["value"] is not None
    ]


def _afterwards(what: str, pairs: Sequence[tuple[Document, Document]], wanted: int) -> str:
    """How the challengers did in the window after the decision, beside the champion of before it."""
    word = "better" if wanted > 0 else "worse"
    as_decided = [after for _, after in pairs if after["hindsight"]["value"] * wanted > 0]
    sure = [after for after in as_decided if surely(after["hindsight"]) == wanted]
    against = [after for _, after in pairs if surely(after["hindsight"]) == -wanted]
    wrong = f" In {_names(against)} the decision was wrong beyond chance." if against else ""
    return (
        f"Of {_many(len(pairs), 'challenger')} that {what}, {len(as_decided)} would have been {word} than the champion "
        f"of before in the window that followed ({len(sure)} beyond chance).{wrong}"
    )


def _hurts(report: Document) -> str:
    """Where a new training at a window's start would have hurt, and what the loop did there."""
    windows = report["windows"]
    followed = list(pairwise(windows))
    known = [(one, after) for one, after in followed if after["hindsight"] and after["hindsight"]["value"] is not None]
    hurt = [(one, after) for one, after in known if after["hindsight"]["value"] < 0]
    if not known:
        return ""
    if not hurt:
        return f"A new training would have hurt in none of {_many(len(known), 'window')}."
    avoided = [after for one, after in hurt if not (one["retraining"] and one["retraining"]["verdict"] == "promote")]
    let_in = [after for one, after in hurt if after not in avoided]
    said = f"the loop kept its champion in {len(avoided)} of them" + (f" ({_names(avoided)})" if avoided else "")
    wrong = f", and let the worse model in in {_names(let_in)}" if let_in else ""
    listed = ", ".join(f"{after['name']} ({after['hindsight']['value']:+.3f})" for _, after in hurt)
    return (
        f"A new training at the window's start would have hurt in {len(hurt)} of {len(known)}: {listed}; {said}{wrong}."
    )


def _compared(report: Document, part: str, words: str) -> str:
    over_all = report["over_all"]
    if not over_all or over_all["loop"]["value"] is None:
        return ""
    change, title = over_all["against"][part], report["metric"]["title"]
    verdict = {1: "better than", -1: "worse than", 0: "not surely better or worse than"}[surely(change)]
    return (
        f"Over all windows the loop's {title} is {over_all['loop']['value']:.3f}, {verdict} {words} "
        f"({over_all[part]['value']:.3f}): {between(change)}, where positive is better."
    )


def _range(windows: Iterable[Document]) -> str:
    values = sorted(one["quality"]["loop"]["value"] for one in windows if one["quality"])
    values = [value for value in values if value is not None]
    if not values:
        return "not known"
    return f"{values[0]:.3f}" if len(values) == 1 else f"{values[0]:.3f} to {values[-1]:.3f}"


def _names(windows: Iterable[Document]) -> str:
    return ", ".join(str(one["name"]) for one in windows)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _day(instant: str) -> str:
    return instant[:10]

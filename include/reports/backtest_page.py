"""The page of a backtest, and the same as Markdown: what was seen, what was done, and what it was worth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from include.reports.backtest_story import between, conclusions
from include.reports.charts import lines_chart
from include.reports.layout import write_atomically, write_page

Document = Mapping[str, Any]
PARTS: Final = {"loop": "The loop", "never": "Never retrained", "always": "Always retrained"}
DONE: Final = ("Window", "Rows", "Drift", "Most drifted", "Decay", "Started", "Challenger against champion", "Decision")
WORTH: Final = ("Window", *PARTS.values(), "New training at its start")
_TONES: Final = {"drift": "warn", "decay": "bad", "promote": "good", "keep": "", "refused": "bad"}
_NAMED: Final = 3
_LOST: Final = {"refused": "refused by a gate", "missing": "missing at the source"}


def write_backtest(folder: Path, name: str, report: Document) -> dict[str, Path]:
    """Write the page, its Markdown and its JSON; returns their paths by ending."""
    content = {**report, "conclusions": conclusions(report)}
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    return {
        "html": write_page(folder / f"{name}.html", "backtest.html", **_page(content)),
        "md": write_atomically(folder / f"{name}.md", to_markdown(content)),
        "json": write_atomically(folder / f"{name}.json", text),
    }


def to_markdown(report: Document) -> str:
    """The conclusions and both tables.

    :param report: with its ``conclusions``.
    """
    lines = [f"# Backtest of {report['model']}: {_span(report)}", "", *(f"- {one}" for one in report["conclusions"])]
    lines += ["", "What the checks saw at each window's end, and what followed:", "", *_table(DONE, done_rows(report))]
    lines += ["", f"{report['metric']['title']} of each window's answers. {_explained(report)}", ""]
    return "\n".join([*lines, *_table(WORTH, worth_rows(report)), ""])


def done_rows(report: Document) -> list[list[str]]:
    """A row for each window: what was seen and done at its end; of :data:`DONE`."""
    return [
        [
            str(one["name"]),
            f"{one['rows']:,}",
            one["drift"]["verdict"],
            _features(one),
            _decay(one),
            str(one["started"] or "–").partition("-")[0] or "–",
            _challenger(one),
            _decision(one),
        ]
        for one in report["windows"]
    ]


def worth_rows(report: Document) -> list[list[str]]:
    """A row for each window, and one for all: what its answers were worth; of :data:`WORTH`."""
    rows = [
        [str(one["name"]), *(_value((one["quality"] or {}).get(part)) for part in PARTS), between(one["hindsight"])]
        for one in report["windows"]
    ]
    whole = report["over_all"]
    return [*rows, ["All, by rows", *(_value(whole.get(part)) for part in PARTS), "–"]] if whole else rows


def _page(report: Document) -> dict[str, Any]:
    return {
        "report": report,
        "span": _span(report),
        "facts": _facts(report),
        "done": DONE,
        "done_rows": [
            [(cell, _tone(cell) if place in (2, 4, 7) else None) for place, cell in enumerate(row)]
            for row in done_rows(report)
        ],
        "worth": WORTH,
        "worth_rows": worth_rows(report),
        "explained": _explained(report),
        "chart": lines_chart(
            [str(one["name"]) for one in report["windows"]],
            {
                words: [((one["quality"] or {}).get(part) or {}).get("value") for one in report["windows"]]
                for part, words in PARTS.items()
            },
            title=str(report["metric"]["title"]),
        ),
        "reasons": [
            (one["name"], [*filter(None, (one["drift"]["reason"], one["decay"]["reason"], _why(one)))])
            for one in report["windows"]
        ],
    }


def _facts(report: Document) -> list[tuple[str, object]]:
    data, every = report["data"], report["every"]
    count = len(report["windows"])
    lost = [f"{len(data[name])} {words}" for name, words in _LOST.items() if data[name]]
    facts: list[tuple[str, object]] = [
        ("First model as of", report["first"]["as_of"][:10]),
        ("Windows", f"{count}, each a {every}" if every.isalpha() else f"{count} of {every}"),
        ("Data", ", ".join([f"{data['first']} to {data['last']}", f"{data['partitions']} partitions", *lost])),
        ("Retrains", _rules(report["rules"])),
    ]
    if report.get("changes"):
        facts.append(("Other than in the definition", ", ".join(report["changes"])))
    return facts


def _rules(rules: Document) -> str:
    causes = [cause for cause in ("drift", "decay") if rules[f"on_{cause}"]]
    if not causes:
        return "never"
    return (
        f"on {' and '.join(causes)}, not again within {rules['cooldown']}, at most {rules['at_most_per_week']} a week"
    )


def _explained(report: Document) -> str:
    way = "more is better" if report["higher_is_better"] else "less is better"
    return (
        f"All models answer the same rows, of which none has seen any; {way}. The last column is how much better the "
        "model trained at the window's start is than the champion of before it, positive for better, with the interval "
        f"at {100 * report['confidence']:.0f} % (whole days are resampled)."
    )


def _span(report: Document) -> str:
    windows = report["windows"]
    return f"{windows[0]['name']} to {windows[-1]['name']}" if len(windows) > 1 else str(windows[0]["name"])


def _features(one: Document) -> str:
    found = [f"{feature['name']} ({feature['size']:.0%})" for feature in one["drift"]["features"][:_NAMED]]
    more = len(one["drift"]["features"]) - _NAMED
    return ", ".join(found) + (f" and {more} more" if more > 0 else "") or "–"


def _decay(one: Document) -> str:
    change = one["decay"]["change"]
    if not change or change["before"]["value"] is None or change["now"]["value"] is None:
        return str(one["decay"]["verdict"])
    return f"{one['decay']['verdict']}: {change['before']['value']:.3f} → {change['now']['value']:.3f}"


def _challenger(one: Document) -> str:
    judged = one["retraining"]
    return f"{judged['metric']} {between(judged['improvement'])}" if judged and judged["improvement"] else "–"


def _decision(one: Document) -> str:
    judged = one["retraining"]
    if not judged:
        return "–"
    version = f", version {judged['version']}" if judged["verdict"] == "promote" else ""
    return f"{judged['verdict']}{version}"


def _why(one: Document) -> str:
    judged = one["retraining"]
    return f"{judged['verdict'].capitalize()}: {judged['reason']}" if judged else str(one["started_reason"])


def _value(estimate: Document | None) -> str:
    if not estimate or estimate["value"] is None:
        return "–"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _tone(cell: str) -> str | None:
    return _TONES.get(cell.replace(":", ",").partition(",")[0])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]

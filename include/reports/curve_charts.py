"""Charts of the evaluation page: precision and recall, curves of several classes, confusion, SHAP summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup, escape

from include.reports.charts import LINE, Plane, share_of, svg, text_at

#: Strokes that differ without colour, too.
_STROKES: Final = (
    "var(--accent);stroke-width:2.2",
    "var(--bad);stroke-width:2;stroke-dasharray:6 3",
    "var(--good);stroke-width:2;stroke-dasharray:2 3",
    "var(--warn);stroke-width:2;stroke-dasharray:9 3 2 3",
    "var(--ink);stroke-width:1.4",
    "var(--soft);stroke-width:2;stroke-dasharray:4 4",
)
MOST_CLASSES: Final = len(_STROKES)


def precision_recall_chart(points: Sequence[Sequence[float]], positives: float) -> Markup:
    """Precision by recall; the dashed line is the share of positive rows, which guessing reaches."""
    plane = Plane((0, 1), (0, 1))
    (left, y), (right, _) = plane.at(0, positives), plane.at(1, positives)
    parts = [
        f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}" '
        f'style="{LINE};stroke:var(--soft);stroke-dasharray:4 4"/>',
        _path(plane, points, "var(--accent);stroke-width:2"),
    ]
    return plane.draw("Precision by recall", [*plane.frame("recall", "precision", diagonal=False), *parts])


def class_curves_chart(curves: Sequence[Mapping[str, Any]], kind: str) -> Markup:
    """The curves of the first classes, each against all others.

    :param kind: ``roc`` or ``pr``.
    """
    plane = Plane((0, 1), (0, 1))
    titles = ("false positive rate", "true positive rate") if kind == "roc" else ("recall", "precision")
    parts = plane.frame(*titles, diagonal=kind == "roc")
    drawn = [one for one in curves if one[kind]][:MOST_CLASSES]
    for number, (one, stroke) in enumerate(zip(drawn, _STROKES, strict=False)):
        parts.append(_path(plane, one[kind], stroke, title=str(one["class"])))
        y = plane.TOP + 14 + 17 * number
        x = plane.LEFT + plane.SIZE + 14
        parts.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 22}" y2="{y - 4}" style="fill:none;stroke:{stroke}"/>')
        parts.append(text_at(x + 27, y, _short(str(one["class"])), "start"))
    label = "ROC curve of each class" if kind == "roc" else "Precision by recall of each class"
    return svg(plane.LEFT + plane.SIZE + 150, plane.TOP + plane.SIZE + plane.BELOW, label, parts)


def confusion_chart(names: Sequence[str], counts: Sequence[Sequence[int]], *, truth: str, answer: str) -> Markup:
    """A confusion matrix: rows are what is true, columns what was answered; the darker, the larger a part of its row.

    :param truth: title of the rows.
    :param answer: title of the columns.
    """
    cell = 92 if len(names) <= 3 else 72 if len(names) <= 6 else 46
    left, top = 110, 40
    parts = [text_at(left + cell * len(names) / 2, 14, answer), text_at(left - 8, top - 10, truth, "end")]
    parts += [text_at(left + cell * (place + 0.5), top - 8, _short(name, 12)) for place, name in enumerate(names)]
    for row, line in enumerate(counts):
        total = max(sum(line), 1)
        parts.append(text_at(left - 8, top + cell * (row + 0.5) + 4, _short(names[row], 14), "end"))
        for place, count in enumerate(line):
            x, y, share = left + cell * place, top + cell * row, count / total
            parts.append(
                f"<g><title>{escape(names[row])} answered {escape(names[place])}: {count:,}, {share:.1%}</title>"
                f'<rect x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="4" style="fill:var(--line)"/>'
                f'<rect x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="4" '
                f'style="fill:var({"--accent" if row == place else "--bad"});opacity:{0.75 * share:.3f}"/>'
                f'<text x="{x + cell / 2 - 1:.1f}" y="{y + cell / 2 - 2:.1f}" text-anchor="middle" '
                f'style="fill:var(--ink);font:600 13px system-ui,sans-serif">{share:.0%}</text>'
                f'<text x="{x + cell / 2 - 1:.1f}" y="{y + cell / 2 + 14:.1f}" text-anchor="middle" '
                f'style="fill:var(--ink);font:11px system-ui,sans-serif">{count:,}</text></g>'
            )
    size = top + cell * len(names) + 4
    return svg(left + cell * len(names) + 4, size, "Confusion matrix", parts)


def importance_chart(features: Sequence[Mapping[str, Any]], *, most: int = 15) -> Markup:
    """Shares of importance as bars, the champion's beside them as a grey mark where there is one."""
    shown = features[:most]
    top = max([0.01, *(max(one["share"], one["before"] or 0.0) for one in shown)])
    left, width, line = 170, 330, 22
    parts = []
    for number, one in enumerate(shown):
        y = 6 + line * number
        size = width * one["share"] / top
        words = f"{one['name']}: {one['share']:.1%}"
        words += f", in the champion {one['before']:.1%}" if one["before"] is not None else ""
        parts.append(f"<g><title>{escape(words)}</title>")
        parts.append(text_at(left - 8, y + 12, _short(str(one["name"]), 26), "end"))
        parts.append(
            f'<rect x="{left}" y="{y + 2}" width="{max(size, 1):.1f}" height="13" rx="3" style="fill:var(--accent)"/>'
        )
        if one["before"] is not None:
            x = left + width * one["before"] / top
            parts.append(
                f'<line x1="{x:.1f}" y1="{y - 1}" x2="{x:.1f}" y2="{y + 18}" style="stroke:var(--ink);stroke-width:2"/>'
            )
        parts.append(text_at(left + width + 8, y + 12, f"{one['share']:.1%}", "start") + "</g>")
    return svg(left + width + 60, 12 + line * len(shown), "Importance of the inputs", parts)


def shap_chart(summary: Sequence[Mapping[str, Any]], edges: Sequence[float], *, scale: str) -> Markup:
    """How each input moves the answers: a bar's height is how many rows it moves so far, its colour by what values.

    Grey inputs have no order of values (categories).

    :param summary: for each input ``counts`` and ``ranks`` (0: its smallest values, 1: its largest) by bin.
    """
    left, width, line = 170, 380, 34
    step = width / max(len(edges) - 1, 1)
    zero = left + width * share_of(0.0, (edges[0], edges[-1]))
    height = line * len(summary)
    parts = [f'<line x1="{zero:.1f}" y1="0" x2="{zero:.1f}" y2="{height}" style="{LINE};stroke:var(--soft)"/>']
    for number, one in enumerate(summary):
        middle, most = line * (number + 0.5), max([1, *one["counts"]])
        parts.append(text_at(left - 8, middle + 4, _short(str(one["name"]), 26), "end"))
        for place, count in enumerate(one["counts"]):
            if not count:
                continue
            tall = max(1.5, (line - 6) * (count / most) ** 0.5)
            rank = None if one["ranks"] is None else one["ranks"][place]
            parts.append(
                f'<rect x="{left + place * step:.1f}" y="{middle - tall / 2:.1f}" width="{step:.1f}" '
                f'height="{tall:.1f}" style="fill:{_colour(rank)}"/>'
            )
    below = [
        text_at(left, height + 14, f"{edges[0]:.3g}", "start"),
        text_at(left + width, height + 14, f"{edges[-1]:.3g}", "end"),
        text_at(zero, height + 14, "0"),
        text_at(left + width / 2, height + 30, f"contribution to the {scale}"),
    ]
    return svg(left + width + 12, height + 36, "What each input adds to the answers", [*parts, *below])


def _colour(rank: float | None) -> str:
    if rank is None:
        return "var(--soft)"
    return f"color-mix(in srgb, var(--warn) {100 * rank:.0f}%, var(--accent))"


def _path(plane: Plane, points: Sequence[Sequence[float]], stroke: str, title: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (plane.at(*point) for point in points))
    named = f"<title>{escape(title)}</title>" if title else ""
    return f'<polyline points="{path}" style="fill:none;stroke:{stroke}">{named}</polyline>'


def _short(text: str, most: int = 18) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"

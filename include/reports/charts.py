"""Small inline SVG charts for the pages: numbers in, markup out, colours from the page's style sheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

LINE = "stroke:var(--line);stroke-width:1;fill:none"
SOFT = "fill:var(--soft);font:11px system-ui,sans-serif"


def svg(width: int, height: int, label: str, parts: Sequence[str]) -> Markup:
    """A drawing of these parts, which are numbers and escaped text only.

    :param label: what it shows, for who does not see it.
    """
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg {size} role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")  # nosec B704 # made of numbers and escaped text only


def text_at(x: float, y: float, text: str, anchor: str = "middle") -> str:
    """Small grey text, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{SOFT}">{escape(text)}</text>'


class Plane:
    """A square plot area with the same range on both axes or ranges of their own."""

    SIZE, LEFT, TOP, BELOW = 240, 48, 10, 34

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is in the drawing."""
        return self.LEFT + self.SIZE * share_of(x, self.x), self.TOP + self.SIZE * (1 - share_of(y, self.y))

    def frame(self, x_title: str, y_title: str, *, diagonal: bool = True) -> list[str]:
        """The frame with its ends and titles."""
        right, bottom = self.LEFT + self.SIZE, self.TOP + self.SIZE
        start, end = self.at(self.x[0], self.y[0]), self.at(self.x[1], self.y[1])
        middle = self.TOP + self.SIZE / 2
        dashed = (
            f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
            f'style="{LINE};stroke:var(--soft);stroke-dasharray:4 4"/>'
        )
        return [
            f'<rect x="{self.LEFT}" y="{self.TOP}" width="{self.SIZE}" height="{self.SIZE}" style="{LINE}"/>',
            *([dashed] if diagonal else []),
            text_at(self.LEFT, bottom + 14, f"{self.x[0]:.3g}", "start"),
            text_at(right, bottom + 14, f"{self.x[1]:.3g}", "end"),
            text_at(self.LEFT - 5, bottom, f"{self.y[0]:.3g}", "end"),
            text_at(self.LEFT - 5, self.TOP + 9, f"{self.y[1]:.3g}", "end"),
            text_at(self.LEFT + self.SIZE / 2, bottom + 28, x_title),
            f'<text transform="translate(12 {middle:.1f}) rotate(-90)" text-anchor="middle" '
            f'style="{SOFT}">{escape(y_title)}</text>',
        ]

    def draw(self, label: str, parts: Sequence[str]) -> Markup:
        """The drawing of these parts, with room for the frame's texts."""
        return svg(self.LEFT + self.SIZE + 14, self.TOP + self.SIZE + self.BELOW, label, parts)


def share_of(value: float, ends: tuple[float, float]) -> float:
    """Where a value lies between two ends, 0 to 1."""
    return 0.5 if ends[1] <= ends[0] else (value - ends[0]) / (ends[1] - ends[0])


def roc_chart(points: Sequence[Sequence[float]]) -> Markup:
    """The ROC curve; points are (false positive rate, true positive rate)."""
    plane = Plane((0, 1), (0, 1))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (plane.at(*point) for point in points))
    line = f'<polyline points="{path}" style="fill:none;stroke:var(--accent);stroke-width:2"/>'
    return plane.draw("ROC curve", [*plane.frame("false positive rate", "true positive rate"), line])


def calibration_chart(groups: Sequence[Mapping[str, float]], *, probability: bool) -> Markup:
    """Mean label against mean prediction for groups of equal size; on the dashed line the model is right on average."""
    values = [group[key] for group in groups for key in ("predicted", "observed")]
    top = max(values) * 1.05 if max(values) > 0 else 1.0
    ends = (0.0, min(1.0, top)) if probability else (min(values), max(values))
    plane = Plane(ends, ends)
    places = [plane.at(group["predicted"], group["observed"]) for group in groups]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline points="{path}" style="fill:none;stroke:var(--accent);stroke-width:1.5"/>']
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" style="fill:var(--accent)"/>' for x, y in places]
    return plane.draw("Calibration", [*plane.frame("predicted", "observed"), *parts])


def cost_chart(points: Sequence[Sequence[float]], threshold: float) -> Markup:
    """Mean cost of a row by threshold, with a dashed line at the one in use and a dot at the smallest cost."""
    costs = [cost for _, cost in points]
    plane = Plane((0, 1), (min(0.0, *costs), max(0.0, *costs)))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (plane.at(*point) for point in points))
    (x, top), (_, bottom) = plane.at(threshold, plane.y[1]), plane.at(threshold, plane.y[0])
    least = plane.at(*min(points, key=lambda point: point[1]))
    parts = [
        f'<polyline points="{path}" style="fill:none;stroke:var(--accent);stroke-width:2"/>',
        f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" '
        f'style="{LINE};stroke:var(--soft);stroke-dasharray:4 4"/>',
        f'<circle cx="{least[0]:.1f}" cy="{least[1]:.1f}" r="3.5" style="fill:var(--accent)"/>',
    ]
    return plane.draw("Cost by threshold", [*plane.frame("threshold", "cost", diagonal=False), *parts])


def histogram(edges: Sequence[float], counts: Sequence[int], *, title: str = "") -> Markup:
    """One histogram, as high as the other charts, with its ends, zero and its title written below.

    :param title: what is counted, with its unit.
    """
    width, height = 320, Plane.TOP + Plane.SIZE
    most = max([*counts, 1])
    step = width / max(len(counts), 1)
    bars = [
        f'<rect x="{index * step + 0.5:.1f}" y="{height * (1 - count / most):.1f}" width="{max(step - 1, 1):.1f}" '
        f'height="{height * count / most:.1f}" style="fill:var(--accent)"/>'
        for index, count in enumerate(counts)
    ]
    ends = [text_at(0, height + 14, f"{edges[0]:.3g}", "start"), text_at(width, height + 14, f"{edges[-1]:.3g}", "end")]
    zero = []
    if edges[0] < 0 < edges[-1]:
        x = width * share_of(0, (edges[0], edges[-1]))
        zero = [
            f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height}" style="{LINE};stroke:var(--soft)"/>',
            text_at(x, height + 14, "0"),
        ]
    named = [text_at(width / 2, height + 28, title)] if title else []
    return svg(width, height + Plane.BELOW, "Histogram", [*bars, *zero, *ends, *named])


def paired_bars(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Shares of each bin before (grey) and now (accent), side by side; a bin's name and shares show on hovering."""
    before, now = (max(sum(one[side] for one in bins), 1) for side in ("reference", "current"))
    pairs = [(str(one["name"]), one["reference"] / before, one["current"] / now) for one in bins]
    most = max([*(max(first, second) for _, first, second in pairs), 1e-9])
    width, height = 220, 54
    step = width / max(len(pairs), 1)
    parts = []
    for index, (name, first, second) in enumerate(pairs):
        left, bar = index * step, step * 0.42
        title = f"<title>{escape(name)}: {first:.1%} before, {second:.1%} now</title>"
        sides = "".join(
            f'<rect x="{left + place * bar:.2f}" y="{height * (1 - share / most):.1f}" width="{bar:.2f}" '
            f'height="{height * share / most:.1f}" style="fill:var({colour})"/>'
            for place, share, colour in ((0, first, "--soft"), (1, second, "--accent"))
        )
        parts.append(f"<g>{title}{sides}</g>")
    base = f'<line x1="0" y1="{height}" x2="{width}" y2="{height}" style="{LINE}"/>'
    return svg(width, height + 2, "Shares before and now", [*parts, base])


def overlaid_histograms(edges: Sequence[float], first: Sequence[int], second: Sequence[int], *, title: str) -> Markup:
    """Two distributions over the same bins as shares: the first as grey bars, the second as an accent outline.

    :param edges: one more than there are bins.
    :param title: what is counted, with its unit.
    """
    width, height = 420, 170
    shares = [[count / max(sum(counts), 1) for count in counts] for counts in (first, second)]
    most = max([*shares[0], *shares[1], 1e-9])
    step = width / max(len(first), 1)
    bars = [
        f'<rect x="{index * step + 0.5:.1f}" y="{height * (1 - share / most):.1f}" width="{max(step - 1, 1):.1f}" '
        f'height="{height * share / most:.1f}" style="fill:var(--soft);opacity:.45"/>'
        for index, share in enumerate(shares[0])
    ]
    corners = [f"0,{height}"]
    for index, share in enumerate(shares[1]):
        y = height * (1 - share / most)
        corners += [f"{index * step:.1f},{y:.1f}", f"{(index + 1) * step:.1f},{y:.1f}"]
    corners.append(f"{width},{height}")
    outline = f'<polyline points="{" ".join(corners)}" style="fill:none;stroke:var(--accent);stroke-width:2"/>'
    base = f'<line x1="0" y1="{height}" x2="{width}" y2="{height}" style="{LINE}"/>'
    below = [
        text_at(0, height + 14, f"{edges[0]:.3g}", "start"),
        text_at(width, height + 14, f"{edges[-1]:.3g}", "end"),
        text_at(width / 2, height + 14, title),
    ]
    return svg(width, height + 20, title, [*bars, base, outline, *below])


def interval_bar(low: float, value: float, high: float, bound: float, *, good: bool) -> Markup:
    """An interval with its value, and the bound that it is held against as an upright line."""
    width, height, pad = 180, 22, 8
    ends = (min(low, bound), max(high, bound))
    places = {name: pad + (width - 2 * pad) * share_of(x, ends) for name, x in
              (("low", low), ("value", value), ("high", high), ("bound", bound))}  # fmt: skip
    colour = "--good" if good else "--bad"
    parts = [
        f'<line x1="{places["bound"]:.1f}" y1="1" x2="{places["bound"]:.1f}" y2="{height - 1}" '
        'style="stroke:var(--soft);stroke-width:1.5;stroke-dasharray:3 2"/>',
        f'<line x1="{places["low"]:.1f}" y1="11" x2="{places["high"]:.1f}" y2="11" '
        f'style="stroke:var({colour});stroke-width:3"/>',
        f'<circle cx="{places["value"]:.1f}" cy="11" r="4.5" style="fill:var({colour})"/>',
    ]
    return svg(width, height, "Interval and bound", parts)


def interval_trend(windows: Sequence[Mapping[str, Any]], *, before: Mapping[str, Any], title: str) -> Markup:
    """A metric with its interval for each of the last windows, oldest first, over the holdout part's as a grey band.

    :param windows: each with ``value``, ``low``, ``high``, ``decayed`` and ``estimate`` (``value``, ``low``, ``high``,
        or None), which is drawn hollow beside it.
    :param before: ``value``, ``low``, ``high`` on the holdout part.
    """
    said = [one for window in windows for one in (window, window["estimate"]) if one is not None]
    ends: list[float] = [
        one[side] for one in (before, *said) for side in ("value", "low", "high") if one[side] is not None
    ]
    if not ends:
        return Markup("")
    width, height, left, pad = 520, 150, 52, 8
    span = (min(ends), max(ends))

    def y(value: float) -> float:
        return pad + (height - 2 * pad) * (1 - share_of(value, span))

    step = (width - left) / len(windows)
    parts = [f"<title>{escape(title)}</title>"]
    if before["low"] is not None and before["high"] is not None:
        tall = max(y(before["low"]) - y(before["high"]), 1)
        band = f'x="{left}" y="{y(before["high"]):.1f}" width="{width - left}" height="{tall:.1f}"'
        parts.append(f'<rect {band} style="fill:var(--soft);opacity:.18"/>')
    if before["value"] is not None:
        at = f"{y(before['value']):.1f}"
        parts.append(
            f'<line x1="{left}" y1="{at}" x2="{width}" y2="{at}" '
            f'style="{LINE};stroke:var(--soft);stroke-dasharray:4 4"/>'
        )
    for index, window in enumerate(windows):
        middle = left + (index + 0.5) * step
        aside = min(step * 0.15, 6.0)
        parts += _whisker(middle - aside, window, y, "--bad" if window["decayed"] else "--accent", hollow=False)
        if window["estimate"] is not None:
            parts += _whisker(middle + aside, window["estimate"], y, "--soft", hollow=True)
    parts += [text_at(left - 6, y(end) + 4, f"{end:.4g}", "end") for end in dict.fromkeys(span)]
    return svg(width, height, title, parts)


def _whisker(x: float, said: Mapping[str, Any], y: Callable[[float], float], colour: str, *, hollow: bool) -> list[str]:
    if said["value"] is None:
        return []
    parts = []
    if said["low"] is not None and said["high"] is not None:
        parts.append(
            f'<line x1="{x:.1f}" y1="{y(said["low"]):.1f}" x2="{x:.1f}" y2="{y(said["high"]):.1f}" '
            f'style="stroke:var({colour});stroke-width:{1.2 if hollow else 2}"/>'
        )
    fill = "var(--card)" if hollow else f"var({colour})"
    parts.append(
        f'<circle cx="{x:.1f}" cy="{y(said["value"]):.1f}" r="3.4" '
        f'style="fill:{fill};stroke:var({colour});stroke-width:1.4"/>'
    )
    return parts


def trend_chart(points: Sequence[float | None], *, title: str) -> Markup:
    """A line over the last windows, oldest first, with the limit at 1 dashed; a point beyond it is drawn as bad.

    :param points: value by limit; None where there is none. What is above 3 is drawn at 3.
    :param title: what a reader hears or sees on hovering.
    """
    width, height, pad, top = 130, 36, 5, 3.0
    step = (width - 2 * pad) / max(len(points) - 1, 1)
    places = [
        (pad + index * step, pad + (height - 2 * pad) * (1 - min(point, top) / top), point >= 1)
        for index, point in enumerate(points)
        if point is not None
    ]
    limit = pad + (height - 2 * pad) * (1 - 1 / top)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    parts = [
        f"<title>{escape(title)}</title>",
        f'<line x1="0" y1="{limit:.1f}" x2="{width}" y2="{limit:.1f}" style="{LINE};stroke-dasharray:3 3"/>',
        f'<polyline points="{path}" style="fill:none;stroke:var(--soft);stroke-width:1.2"/>',
    ]
    parts += [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" style="fill:var({"--bad" if beyond else "--accent"})"/>'
        for x, y, beyond in places
    ]
    return svg(width, height, title, parts)


def lines_chart(names: Sequence[str], lines: Mapping[str, Sequence[float | None]], *, title: str) -> Markup:
    """At most three lines over the same places, such as months, each named at the right.

    :param names: of the places, written below.
    :param lines: by name; None where a line has no value.
    :param title: what is measured.
    """
    width, height, left, top, right = 620, 200, 44, 12, 130
    values = [value for line in lines.values() for value in line if value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    step = (width - left - right) / max(len(names) - 1, 1)
    shown = range(0, len(names), max(1, len(names) // 9))
    parts = [
        f'<rect x="{left}" y="{top}" width="{width - left - right}" height="{height}" style="{LINE}"/>',
        text_at(left - 5, top + 9, f"{high:.3g}", "end"),
        text_at(left - 5, top + height, f"{low:.3g}", "end"),
        *(text_at(left + place * step, top + height + 16, names[place]) for place in shown),
    ]
    styles = ("var(--accent);stroke-width:2.5", "var(--bad);stroke-dasharray:5 4", "var(--soft);stroke-dasharray:2 3")
    for number, ((name, line), style) in enumerate(zip(lines.items(), styles, strict=False)):
        points = [
            f"{left + place * step:.1f},{top + height * (1 - share_of(value, (low, high))):.1f}"
            for place, value in enumerate(line)
            if value is not None
        ]
        y = top + 12 + 18 * number
        stroke = f"fill:none;stroke:{style}"
        parts += [
            f'<polyline points="{" ".join(points)}" style="{stroke}"><title>{escape(name)}</title></polyline>',
            f'<line x1="{width - right + 8}" y1="{y - 4}" x2="{width - right + 28}" y2="{y - 4}" style="{stroke}"/>',
            text_at(width - right + 32, y, name, "start"),
        ]
    return svg(width, height + 34, title, parts)

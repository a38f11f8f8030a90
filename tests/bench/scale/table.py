"""What was measured, for people: lines on the terminal, and the README's table from the JSON that is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

RESULT: Final = Path(__file__).with_name("result.json")
BEGIN: Final = "<!-- bench-scale: made by `python -m tests.bench.scale --table` -->"
END: Final = "<!-- /bench-scale -->"
_GIB: Final = 1 << 30
Document = dict[str, Any]


def print_size(size: Document, first: Document, limit: int) -> None:
    """A size's steps, with the cost of a row beside that of the first size."""
    print(f"\n{size['rows']:,} rows, limit {limit / _GIB:g} GiB (enforced)")
    print(f"{'step':<20} {'seconds':>9} {'ns/row':>9} {'ratio':>6} {'peak GiB':>9}")
    for step in size["steps"]:
        ratio = per_row(size, step) / per_row(first, same_step(first, step["step"]))
        cost = f"{per_row(size, step) * 1e9:9.0f} {ratio:6.2f}"
        print(f"{step['step']:<20} {step['seconds']:9.1f} {cost} {step['resident'] / _GIB:9.2f}", flush=True)


def per_row(size: Document, step: Document) -> float:
    """Seconds of a step for each landed row."""
    return float(step["seconds"]) / int(size["rows"])


def same_step(size: Document, name: str) -> Document:
    """A size's step of this name."""
    return next(step for step in size["steps"] if step["step"] == name)


def render(document: Document) -> str:
    """The table in Markdown: a line for each step, for each size its seconds and its peak of memory."""
    sizes = document["sizes"]
    heads = [f"{size['rows'] / 1e6:.3g} million rows" for size in sizes]
    lines = ["| step | " + " | ".join(heads) + " | cost of a row |", "|---|" + "---|" * (len(sizes) + 1)]
    for step in sizes[0]["steps"]:
        cells = []
        for size in sizes:
            own = same_step(size, step["step"])
            cells.append(f"{own['seconds']:,.0f} s, {own['resident'] / _GIB:.1f} GiB")
        last = sizes[-1]
        ratio = per_row(last, same_step(last, step["step"])) / per_row(sizes[0], step)
        lines.append(f"| {step['step']} | " + " | ".join(cells) + f" | × {ratio:.2f} |")
    return "\n".join(lines)


def write_readme(readme: Path, document: Document) -> None:
    """Put the table between its marks.

    :raises ValueError: if the marks are not there.
    """
    text = readme.read_text(encoding="utf-8")
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    readme.write_text(f"{text[:start]}\n{render(document)}\n{text[end:]}", encoding="utf-8")

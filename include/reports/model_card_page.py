"""The model card as a page and as Markdown: both from the same document, and the same words."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.reports.layout import TEMPLATES, format_percent, format_value, render_page
from include.reports.model_card import Figure, ModelCard
from include.reports.model_card_life import Life

_DECISIONS: Final = {"promote": "won against what it was compared with", "keep": "did not win"}
_PARTS: Final = ("train", "validation", "holdout")
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&])")


def render_card(card: ModelCard, life: Life | None) -> str:
    """The card as one HTML document.

    :param life: what has become of the version; None: the card is as of registration.
    """
    return render_page("model_card.html", **_values(card, life))


def markdown_card(card: ModelCard, life: Life | None) -> str:
    """The card as Markdown; nothing of what it says can become markup."""
    text = _markdown().get_template("model_card.md").render(**_values(card, life))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def card_document(card: ModelCard, life: Life | None) -> str:
    """The card as JSON: the document of registration, and under ``life`` what has become of the version."""
    return json.dumps(card.model_dump(mode="json") | {"life": asdict(life) if life else None}, ensure_ascii=False)


def summary_of(card: ModelCard) -> str:
    """A few lines of Markdown for somebody who decides on the version: purpose, quality, limits."""
    return _markdown().get_template("model_card_summary.md").render(**_values(card, None)).strip()


def _values(card: ModelCard, life: Life | None) -> dict[str, Any]:
    leading = [one for one in card.quality.measures if one.leading] if card.quality else []
    return {
        "card": card,
        "life": life,
        "leading": leading,
        "decided": _DECISIONS.get(card.verdict or "", "was not decided on"),
        "others": list(dict.fromkeys(name for one in leading for name in one.others)),
        "interval": interval,
        "inner": lambda figure: f" ({interval(figure)})" if interval(figure) else "",
        "windows": sorted(card.data.windows, key=lambda one: _PARTS.index(one.part) if one.part in _PARTS else 9),
        "as_of": f"{card.as_of:%Y-%m-%d %H:%M}",
        "registered": f"{card.registered_at:%Y-%m-%d %H:%M} UTC",
    }


def interval(figure: Figure) -> str:
    """The interval of a figure in words, or why there is none."""
    if figure.low is None or figure.high is None:
        return figure.reason or ""
    return f"{format_value(figure.low)} to {format_value(figure.high)}"


def escape_markdown(value: object) -> str:
    """A value as text of one line that no reader of Markdown takes for markup."""
    text = " ".join(str("–" if value is None else value).split())
    text = _SPECIAL.sub(r"\\\1", text)
    text = re.sub(r"(?i)(https?|ftp|mailto)(:)", r"\1\\\2", text)
    return re.sub(r"^(?=[-=]([-=\s]|$))|(?<=^\d)(?=\.\s)", r"\\", text)


@lru_cache(maxsize=1)
def _markdown() -> Environment:
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # nosec B701 # every value goes through finalize
        finalize=escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["value"] = format_value
    env.filters["percent"] = format_percent
    return env

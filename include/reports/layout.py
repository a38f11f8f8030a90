"""The layout that all pages share: one self-contained HTML file, no script, nothing fetched from anywhere.

A page is a Jinja template in ``include/reports/templates`` that starts with ``{% extends "page.html" %}`` and fills the
blocks ``title``, ``kicker``, ``verdict`` and ``content``; ``{% import "parts.html" as parts %}`` gives it the shared
parts (verdict banner, facts, tables, bars). Every value is escaped; nothing from the data can become markup.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).resolve().parent / "templates"
_WHEN_DARK: Final = "@media (prefers-color-scheme: dark)"


def format_value(value: object, digits: int = 4) -> str:
    """Write a value for a reader: numbers short and with thousands separators, nothing as a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _format_float(value, digits)
    if isinstance(value, list | tuple):
        return ", ".join(format_value(item, digits) for item in value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _format_float(value: float, digits: int) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.1f}"
    return f"{value:.{digits}g}"


def format_percent(value: float | None, digits: int = 1) -> str:
    """Write a share (0.123) as a percentage (12.3 %)."""
    if value is None or math.isnan(value):
        return "–"
    return f"{100 * value:.{digits}f} %"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the Jinja environment of the pages: escaping on, missing values are errors."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["value"] = format_value
    env.filters["percent"] = format_percent
    return env


def render_page(template: str, /, **values: object) -> str:
    """Render a template of ``include/reports/templates`` as one HTML document."""
    return environment().get_template(template).render(**values)


def in_theme(page: str, theme: Literal["light", "dark"]) -> str:
    """A rendered page in one theme, for a frame in a page whose reader has chosen it; else it is as the system is."""
    return page.replace(_WHEN_DARK, "@media all" if theme == "dark" else "@media not all", 1)


def write_page(path: Path, template: str, /, **values: object) -> Path:
    """Render a template and write it to ``path``; a reader never sees half a page."""
    return write_atomically(path, render_page(template, **values))


def write_atomically(path: Path, text: str) -> Path:
    """Write text to a file beside ``path`` and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path

"""The pages that steps have written to the store, for whoever may see their model; nothing else of the store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from include.errors import Refused
from include.lake.paths import checked_model
from include.lake.store import store_of
from include.settings import Settings

_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+:=-]*")
_DEEPEST: Final = 8
_LARGEST: Final = 20_000_000


class NoSuchPage(Refused):
    """The store has no such page of the model."""

    def __init__(self, model: str, page: str) -> None:
        self.model = model
        self.page = page
        super().__init__(
            f"The store has no page {page[:200]!r} of {model}. It may have been deleted; the step that writes it makes "
            "it again."
        )


def report_page(settings: Settings, model: str, page: str) -> str:
    """A page's HTML.

    :param page: path below ``reports/<model>/``.
    :raises UnsafeName: if the model's name is none.
    :raises NoSuchPage: if there is none, or the path is not one of a page, or leads elsewhere.
    """
    root = settings.store / "reports" / checked_model(model)
    path = root.joinpath(*_parts(model, page))
    store = store_of(settings)
    size = store.size(path)
    if size is None or size > _LARGEST:
        raise NoSuchPage(model, page)
    store.fetch(path)
    if not path.resolve().is_relative_to(root.resolve()):
        raise NoSuchPage(model, page)
    return path.read_text(encoding="utf-8")


def _parts(model: str, page: str) -> tuple[str, ...]:
    parts = tuple(page.split("/"))
    if len(parts) > _DEEPEST or not all(map(_PART.fullmatch, parts)) or Path(page).suffix != ".html":
        raise NoSuchPage(model, page)
    return parts

"""Texts that may name a key: pages and documents below reports and quarantine, and what a document says of rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from include.lake.paths import checked_model
from include.lake.store import Store, store_of
from include.privacy.held import Held
from include.privacy.key import ERASED, EntityKey
from include.settings import Settings

_TEXTS: Final = frozenset({".json", ".html", ".md", ".txt"})
_STUB: Final = (
    '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Removed</title>\n'
    "<p>This page was removed: it showed rows of a key that has been erased. What else it said is in the JSON file "
    "beside it, if there is one.</p></html>\n"
)


def find(settings: Settings, key: EntityKey) -> Held:
    """The documents and pages that name a key."""
    store = store_of(settings)
    where: dict[str, int] = {}
    for path in _documents(settings, key):
        count = _mentions(path, key)
        if count:
            where[path.relative_to(settings.store).as_posix()] = count
    del store
    return Held(place="pages", rows=sum(where.values()), where=where)


def erase(settings: Settings, key: EntityKey) -> Held:
    """Take a key out of documents; a page that showed it is replaced by one sentence."""
    store = store_of(settings)
    where: dict[str, int] = {}
    for path in _documents(settings, key):
        count = _mentions(path, key)
        if not count:
            continue
        where[path.parent.relative_to(settings.store).as_posix()] = count
        if path.suffix == ".json":
            for page in _pages_of(store, path):  # first: a JSON file that still names the key brings a killed try back
                _write(store, page, _STUB)
            document, _ = cleaned(json.loads(path.read_text(encoding="utf-8")), key)
            _write(store, path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        elif path.suffix == ".html":
            _write(store, path, _STUB)
        elif key.distinctive is not None:
            _write(store, path, key.distinctive.sub(ERASED, path.read_text(encoding="utf-8")))
    return Held(place="pages", rows=sum(where.values()), where=where)


def cleaned(value: Any, key: EntityKey) -> tuple[Any, int]:
    """A JSON value without rows of the key, and without its values in texts; and how many of these there were.

    A row is an object with the key's columns and values; in a list it goes, elsewhere it becomes null.
    """
    if isinstance(value, dict):
        if _is_row(value, key):
            return None, 1
        pairs = {name: cleaned(one, key) for name, one in value.items()}
        return {name: one for name, (one, _) in pairs.items()}, sum(count for _, count in pairs.values())
    if isinstance(value, list):
        kept = [cleaned(one, key) for one in value if not (isinstance(one, dict) and _is_row(one, key))]
        gone = len(value) - len(kept)
        return [one for one, _ in kept], gone + sum(count for _, count in kept)
    if isinstance(value, str) and key.distinctive is not None:
        return key.distinctive.subn(ERASED, value)
    if isinstance(value, int) and not isinstance(value, bool) and key.distinctive is not None:
        return (ERASED, 1) if key.distinctive.fullmatch(str(value)) else (value, 0)
    return value, 0


def _is_row(value: dict[str, Any], key: EntityKey) -> bool:
    return all(name in value and value[name] == wanted for name, wanted in key.plain.items())


def _documents(settings: Settings, key: EntityKey) -> Iterator[Path]:
    store, model = store_of(settings), checked_model(key.definition.model)
    for folder in ("reports", "quarantine", "staging"):
        root = settings.store / folder / model
        for path in store.find(root, "**/*"):
            if path.suffix in _TEXTS and path.is_file() | (settings.bucket is not None):
                store.fetch(path)
                if path.is_file():
                    yield path


def _mentions(path: Path, key: EntityKey) -> int:
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        try:
            return cleaned(json.loads(text), key)[1]
        except ValueError:
            pass
    return 0 if key.distinctive is None else len(key.distinctive.findall(text))


def _pages_of(store: Store, document: Path) -> list[Path]:
    """The pages beside a document that show what it says."""
    names = [document.with_suffix(".html"), document.with_name("page.html")]
    return [path for path in names if store.size(path) is not None]


def _write(store: Store, path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.erasing")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    store.deliver(path)

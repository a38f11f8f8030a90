"""YAML in, plain values with their lines out: bounded, without aliases, tags or duplicate keys.

Values follow YAML 1.2's core rules (``1e-3`` is a number, ``no`` is text), except that a plain ISO date is a date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml

from include.spec.problems import DefinitionError, KeyPath, Problem, key_text

LARGEST_FILE: Final = 256 * 1024
DEEPEST: Final = 16

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, with which PyYAML is built nearly everywhere: twenty times as fast as the one in Python."""

_INTEGER = re.compile(r"[-+]?[0-9]{1,30}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CONSTANTS: Final[dict[str, bool | None]] = {"": None, "~": None, "null": None, "true": True, "false": False}


class _Wrong(Exception):
    """Something that YAML allows and a definition does not."""

    def __init__(self, line: int, keys: KeyPath, what: str, cure: str) -> None:
        super().__init__(what)
        self.problem = Problem(line, key_text(keys), what, cure)


@dataclass(frozen=True)
class Document:
    """The values of a file, and the line (from 1) of each key and list item."""

    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, keys: KeyPath) -> int:
        """Line of a key, or of the nearest key above it that is in the file."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)


def read_document(path: Path) -> Document:
    """Read a YAML file whose top is a mapping.

    :raises DefinitionError: if it is missing, no file, empty, too large, not UTF-8, or not such YAML.
    """
    text = _read_text(path)
    try:
        return _Reader(text).document()
    except _Wrong as error:
        raise DefinitionError(path, [error.problem]) from None
    except yaml.YAMLError as error:
        raise DefinitionError(path, [_syntax_problem(_in_detail(text, error))]) from None


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DefinitionError(
            path, [Problem(1, "", f"the file cannot be read ({reason})", "Check that it is there and readable.")]
        ) from None
    if len(raw) > LARGEST_FILE:
        what = f"the file is larger than {LARGEST_FILE // 1024} KiB"
        raise DefinitionError(path, [Problem(1, "", what, "A definition is a short text; is this the right file?")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"byte {error.start} of the file is not UTF-8"
        raise DefinitionError(path, [Problem(line, "", what, "Save the file with the encoding UTF-8.")]) from None


def _in_detail(text: str, error: yaml.YAMLError) -> yaml.YAMLError:
    """The same error as the parser in Python words it, which says more of what is wrong."""
    try:
        for _ in yaml.parse(text, Loader=yaml.SafeLoader):
            pass
    except yaml.YAMLError as worded:
        return worded
    return error


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or str(getattr(error, "reason", "")) or "it cannot be parsed"
    cure = "Check indentation, colons and quotes here; text with `: `, ` #`, `{` or `%` at its start needs quotes."
    if "\\t" in reason:
        cure = "Indent with spaces, not tabs."
    return Problem(mark.line + 1 if mark else 1, "", f"this is not valid YAML: {' '.join(reason.split())}", cure)


class _Reader:
    """Builds values from PyYAML's events, so that nothing is constructed or expanded that is not asked for."""

    def __init__(self, text: str) -> None:
        self._events = iter(yaml.parse(text, Loader=_LOADER))
        self._lines: dict[KeyPath, int] = {}

    def document(self) -> Document:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise _Wrong(1, (), "the file is empty", "Write a definition; include/models/README.md shows one.")
        values = self._value(next(self._events), ())
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _Wrong(_line(event), (), "a second YAML document starts here", "One file holds one definition.")
        if not isinstance(values, dict):
            what = "the file is empty" if values is None else "the file does not hold keys and values"
            raise _Wrong(1, (), what, "Start with `model: <name>`; include/models/README.md shows an example.")
        return Document(values, self._lines)

    def _value(self, event: Any, keys: KeyPath) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise _Wrong(_line(event), keys, f"`*{event.anchor}` is a YAML alias", "Write the value out in full.")
        if getattr(event, "anchor", None):
            raise _Wrong(_line(event), keys, f"`&{event.anchor}` is a YAML anchor", "Remove it; aliases are not read.")
        if getattr(event, "tag", None) is not None:
            raise _Wrong(_line(event), keys, f"`{event.tag}` is a YAML tag", "Remove it and write the plain value.")
        if len(keys) > DEEPEST:
            raise _Wrong(_line(event), keys[:3], f"values are nested more than {DEEPEST} deep", "Use fewer levels.")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(keys)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(keys)
        return _scalar(event.value) if event.implicit[0] else event.value

    def _mapping(self, keys: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.anchor or event.tag:
                raise _Wrong(_line(event), keys, "a key here is not plain text", "Write `key: value`.")
            key = (*keys, event.value)
            if event.value in values:
                what = f"the key is there twice (first in line {self._lines[key]})"
                raise _Wrong(_line(event), key, what, "Keep one of the two.")
            if event.value == "<<" and event.implicit[0]:
                raise _Wrong(_line(event), key, "YAML merge keys are not read", "Write the keys out in full.")
            self._lines[key] = _line(event)
            values[event.value] = self._value(next(self._events), key)
        return values

    def _sequence(self, keys: KeyPath) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            key = (*keys, len(values))
            self._lines[key] = _line(event)
            values.append(self._value(event, key))
        return values


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _scalar(text: str) -> bool | int | float | str | date | None:
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            return text
    return text

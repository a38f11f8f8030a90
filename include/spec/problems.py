"""What is wrong with a definition, as values: the file, the line, the key, what is wrong there, and the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from include.errors import Refused

MOST_LISTED: Final = 40

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Finding:
    """A problem at a key, before its line is known.

    :param keys: where, as the keys and list positions from the top of the file.
    :param what: what is wrong, without a full stop.
    :param cure: what to do, as a sentence.
    """

    keys: KeyPath
    what: str
    cure: str


@dataclass(frozen=True)
class Problem:
    """A :class:`Finding` with the line (from 1) of its key, or of the nearest key above it that is in the file."""

    line: int
    key: str
    what: str
    cure: str

    def at(self, file: Path) -> str:
        """One line of text for a person, in the form ``file:line: key: what. cure``."""
        key = f" {self.key}:" if self.key else ""
        return f"{file}:{self.line}:{key} {self.what}. {self.cure}"


class DefinitionError(Refused):
    """A model definition that cannot be used.

    :param file: the definition.
    :param problems: everything that was found wrong, in the order of the file.
    """

    def __init__(self, file: Path, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        lines = [problem.at(file) for problem in self.problems]
        if len(lines) > 1:
            lines.insert(0, f"The definition {file.name} has {len(lines)} problems:")
        super().__init__("\n".join(lines))


def key_text(keys: KeyPath) -> str:
    """A key path as people write it: ``evaluation.gates[0].metric``."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def choose(wrong: object, choices: Iterable[str], *, kind: str, cutoff: float = 0.6) -> str:
    """The cure for a name that is not one of ``choices``: the likely meaning first, then what there is."""
    names = list(choices)
    folded = {name.casefold(): name for name in names}
    text = str(wrong).casefold()
    near = difflib.get_close_matches(text, list(folded), n=1, cutoff=cutoff)
    near = near or [name for name in folded if len(text) > 2 and name.startswith(text)]
    listed = ", ".join(names[:MOST_LISTED]) + (", …" if len(names) > MOST_LISTED else "")
    known = f"The {kind} are: {listed}." if names else f"There are no {kind} here."
    return f"Did you mean `{folded[near[0]]}`? {known}" if near else known

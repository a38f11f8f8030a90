"""Values as literals of a language, and the examples' templates: what a column is called can never become code."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.errors import Refused
from include.serving.clients.example_row import Signature

TEMPLATES: Final = Path(__file__).with_name("templates")


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language that there is an example in.

    :param file: name of a file with the example.
    :param command: how that file is run.
    """

    file: str
    command: str


LANGUAGES: Final[Mapping[str, Language]] = {
    "curl": Language(file="predict.sh", command="bash predict.sh"),
    "python": Language(file="predict.py", command="python predict.py"),
    "javascript": Language(file="predict.mjs", command="node predict.mjs"),
    "java": Language(file="Predict.java", command="java Predict.java"),
}


class LanguageUnknown(Refused):
    """There is no example in this language."""

    def __init__(self, language: str) -> None:
        self.language = language
        super().__init__(f"There is no example in {language[:40]!r}. There is one in each of: {', '.join(LANGUAGES)}.")


def client_example(signature: Signature, language: str, server: str) -> str:
    """A program that asks for a prediction and, given the truth as its argument, sends it back.

    It prints the server's answer. Server and token can be set by ``NORIA_SERVER_URL`` and ``NORIA_SERVER_TOKEN``.

    :param server: address of the server, which is used if the variable is not set.
    :raises LanguageUnknown: if there is none in this language.
    """
    if language not in LANGUAGES:
        raise LanguageUnknown(language)
    template = _environment().get_template(f"{LANGUAGES[language].file}.jinja")
    return template.render(
        model=signature.model,
        row=signature.row,
        body=json.dumps({"rows": [signature.row]}, indent=2),
        label=json.dumps(signature.label),
        server=server.rstrip("/"),
        command=LANGUAGES[language].command,
    )


def java_literal(text: str) -> str:
    """A text as an expression of Java 11, line by line."""
    return " +\n".join(_json(line) for line in text.splitlines(keepends=True))


def script_key(name: str) -> str:
    """A key of an object literal; one of JavaScript's keys sets the prototype unless it is computed."""
    return f"[{_json(name)}]" if name == "__proto__" else _json(name)


def _json(value: object) -> str:
    """In ASCII, which is a literal of JavaScript and of Java alike."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False)


def _environment() -> Environment:
    environment = Environment(  # nosec B701 # programs, no markup; each value passes the filter of its language
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Callable[[Any], str]] = {
        "shell": lambda value: shlex.quote(str(value)),
        "python": ascii,
        "script": _json,
        "script_key": script_key,
        "java": java_literal,
    }
    environment.filters.update(filters)
    return environment

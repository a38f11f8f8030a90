"""Suites as JSON files: ``expectations/<model>/<stage>.json``, read strictly. Imports nothing heavy.

The format is Great Expectations' own: a name, and expectations with ``type``, ``kwargs``, ``severity`` and
``meta.notes`` (why it matters). Anything that could make a gate pass silently is refused: no file, no expectation, an
unknown type or argument, a key that is written twice, a severity that is left out.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from include.gates.errors import SuiteError
from include.gates.vocabulary import FORMS, Form, argument_problem, named_columns
from include.settings import Settings

Stage = Literal["raw", "features", "training", "predictions", "scoring", "scores", "inference", "feedback"]
Severity = Literal["critical", "warning"]
STAGES: Final[tuple[Stage, ...]] = ("raw", "features", "training", "predictions")
"""Stages that need a suite."""
SCORING_STAGES: Final[tuple[Stage, ...]] = ("scoring", "scores")
"""Stages of batch scoring, which borrow a suite if they have none: see :mod:`include.gates.scoring`."""
LOG_STAGES: Final[tuple[Stage, ...]] = ("inference", "feedback")
"""Stages of the request log; a model without a suite for one of them passes it."""
_MODEL = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One expectation of a suite.

    :param type: Great Expectations' name of it.
    :param kwargs: its arguments.
    :param severity: ``critical`` blocks, ``warning`` is reported.
    :param notes: why it matters, for the reader of the page.
    """

    type: str
    kwargs: Mapping[str, Any]
    severity: Severity
    notes: str

    @property
    def form(self) -> Form:
        """What expectations of this type may say."""
        return FORMS[self.type]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names."""
        return named_columns(self.kwargs)

    @property
    def label(self) -> str:
        """Type and columns, for messages."""
        return f"{self.type} on {', '.join(self.columns)}" if self.columns else self.type


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A checked suite.

    :param name: its name, ``<model>.<stage>`` by custom.
    :param path: the file that it came from.
    :param stage: the stage that it guards.
    :param expectations: what it expects, in the file's order.
    :param digest: 32 hex digits over its content; spaces and the order of keys do not change it.
    """

    name: str
    path: Path
    stage: Stage
    expectations: tuple[Expectation, ...]
    digest: str = field(compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that its expectations name, each once, in order of first mention."""
        return tuple(dict.fromkeys(column for item in self.expectations for column in item.columns))


def load_suite(settings: Settings, model: str, stage: str) -> Suite:
    """Read and check the suite of a model's stage.

    :raises SuiteError: naming file and expectation, if there is anything in it that a gate must not act on.
    """
    known = (*STAGES, *SCORING_STAGES, *LOG_STAGES)
    if not _MODEL.fullmatch(model) or stage not in known:
        problem = f"there is no suite for model {model!r} and stage {stage!r}."
        raise SuiteError(settings.expectations, "", problem, f"The stages are: {', '.join(known)}.")
    return read_suite(settings.expectations / model / f"{stage}.json", stage)


def read_suite(path: Path, stage: Stage) -> Suite:
    """Read and check one suite file.

    :raises SuiteError: as :func:`load_suite`.
    """
    document = _read_document(path)
    _check_keys(path, "", document, required=("name", "expectations"), optional=("meta", "id", "suite_parameters"))
    name, items = document["name"], document["expectations"]
    if not isinstance(name, str) or not name:
        raise SuiteError(path, "key name", "the suite has no name.", "Write one, such as <model>.<stage>.")
    if document.get("suite_parameters"):
        raise SuiteError(path, "key suite_parameters", "suite parameters are not supported.", "Write the values out.")
    if not isinstance(items, list) or not items:
        raise SuiteError(path, "key expectations", "the suite expects nothing, so it would let everything pass.",
                         "Write at least one expectation.")  # fmt: skip
    expectations = tuple(_read_expectation(path, number, item) for number, item in enumerate(items, start=1))
    _refuse_twins(path, expectations)
    return Suite(name=name, path=path, stage=stage, expectations=expectations, digest=_digest(document))


def check_columns(suite: Suite, columns: Iterable[str]) -> None:
    """Refuse a suite that names a column which its stage's table can never have.

    :param columns: every column of the stage's table (:func:`include.gates.columns.stage_columns`).
    :raises SuiteError: naming the expectation, with the nearest column's name.
    """
    known = list(columns)
    for number, expectation in enumerate(suite.expectations, start=1):
        for column in expectation.columns:
            if column not in known:
                problem = f"the table of stage {suite.stage} has no column {column!r}."
                cure = _nearest(column, known) or f"Its columns are: {', '.join(known)}."
                raise SuiteError(suite.path, _place(number, expectation.type), problem, cure)


def _read_document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        cure = "Every stage needs a suite: write the file; a stage without one is never passed."
        raise SuiteError(path, "", "the file does not exist.", cure) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(path, "", f"the file cannot be read: {error}.", "Write it as UTF-8 JSON.") from error
    try:
        document = json.loads(text, object_pairs_hook=_without_twin_keys, parse_constant=_refuse_constant)
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        problem = "a text in it has half of a surrogate pair (\\ud800 to \\udfff), which is no character."
        raise SuiteError(path, "", problem, "Write the character itself.") from None
    except RecursionError:
        raise SuiteError(path, "", "it is nested too deep.", "Lists and objects go some levels deep.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise SuiteError(path, where, f"this is not JSON: {error.msg}.", "Correct the file.") from None
    except ValueError as error:
        raise SuiteError(path, "", f"{error}.", "Correct the file.") from None
    if not isinstance(document, dict):
        raise SuiteError(path, "", "the file must hold one JSON object.", 'Write {"name": …, "expectations": […]}.')
    return document


def _without_twin_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twin!r} is written twice in one object")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _read_expectation(path: Path, number: int, item: object) -> Expectation:
    where = f"expectation {number}"
    if not isinstance(item, dict):
        raise SuiteError(path, where, f"it is {item!r}, not an object.", 'Write {"type": …, "kwargs": {…}, …}.')
    kind = item.get("type")
    where = _place(number, kind)
    _check_keys(path, where, item, required=("type", "kwargs", "severity", "meta"), optional=("id",))
    form = _form(path, where, kind)
    kwargs = item["kwargs"]
    if not isinstance(kwargs, dict):
        raise SuiteError(path, where, "kwargs must be an object.", "Write its arguments there.")
    _check_keys(path, where, kwargs, required=(), optional=form.arguments, what="argument")
    problem = argument_problem(form, kwargs)
    if problem:
        raise SuiteError(path, where, problem, f"Its arguments are: {', '.join(form.arguments)}.")
    if item["severity"] not in ("critical", "warning"):
        problem = f"severity is {item['severity']!r}."
        raise SuiteError(path, where, problem, "Write critical (it blocks) or warning (it is reported).")
    return Expectation(
        type=str(kind), kwargs=kwargs, severity=item["severity"], notes=_notes(path, where, item["meta"])
    )


def _form(path: Path, where: str, kind: object) -> Form:
    if not isinstance(kind, str) or kind not in FORMS:
        cure = _nearest(str(kind), FORMS) or f"The types are: {', '.join(FORMS)}."
        raise SuiteError(path, where, f"there is no expectation of the type {kind!r} here.", cure)
    return FORMS[kind]


def _notes(path: Path, where: str, meta: object) -> str:
    notes = meta.get("notes") if isinstance(meta, dict) else None
    if not isinstance(notes, str) or not notes.strip():
        cure = "Write one sentence for the reader of the gate's page: why this matters."
        raise SuiteError(path, where, "meta.notes is missing.", cure)
    return notes.strip()


def _check_keys(
    path: Path, where: str, found: Mapping[str, Any], *, required: Iterable[str], optional: Iterable[str],
    what: str = "key",
) -> None:  # fmt: skip
    needed, known = list(required), [*required, *optional]
    for name in found:
        if name not in known:
            cure = _nearest(name, known) or f"It may have: {', '.join(known)}."
            raise SuiteError(path, where, f"there is no {what} {name!r} here.", cure)
    for name in needed:
        if name not in found:
            raise SuiteError(path, where, f"the {what} {name!r} is missing.", f"It needs: {', '.join(needed)}.")


def _refuse_twins(path: Path, expectations: tuple[Expectation, ...]) -> None:
    seen: dict[str, int] = {}
    for number, item in enumerate(expectations, start=1):
        identity = json.dumps([item.type, item.kwargs, item.severity], sort_keys=True)
        if identity in seen:
            problem = f"it says the same as expectation {seen[identity]}."
            raise SuiteError(path, _place(number, item.type), problem, "Keep one of them.")
        seen[identity] = number


def _place(number: int, kind: object) -> str:
    return f"expectation {number} ({kind})" if isinstance(kind, str) else f"expectation {number}"


def _nearest(word: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {found[0]!r}?" if found else ""


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]

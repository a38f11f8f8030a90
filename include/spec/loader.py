"""From a YAML file to a :class:`Definition`, or to one error that names every problem with file, line, key and cure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from include.errors import Refused
from include.settings import Settings
from include.spec.checks import cross_check
from include.spec.definition import Definition
from include.spec.formats import read_definition
from include.spec.lending import with_lenders
from include.spec.problems import DefinitionError, Finding, Problem, choose, key_text
from include.spec.schema_errors import findings_of
from include.spec.yaml_reader import Document

__all__ = ["DefinitionError", "UnknownModel", "find_definition", "list_definitions", "load_definition"]

_MODEL_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class UnknownModel(Refused):
    """There is no definition of that name.

    :param model: the name that was asked for.
    """

    def __init__(self, model: str, cure: str) -> None:
        self.model = model
        super().__init__(f"There is no model {model!r}. {cure}")


def load_definition(path: Path, *, expressions: bool = True) -> Definition:
    """Read one definition and check everything that can be known without its data.

    :param path: the file; its name without ``.yaml`` must be the value of its key ``model``.
    :param expressions: whether SQL expressions are parsed too, which costs the import of sqlglot (a fraction of a
        second). ``False`` is for processes that only need to know how a model's runs are arranged.
    :raises DefinitionError: with all problems of the file.
    """
    document = read_definition(path)
    try:
        definition = Definition.model_validate(document.values)
    except ValidationError as error:
        raise _refuse(path, document, findings_of(error, document.values)) from None
    definition = with_lenders(definition, path.parent)
    findings = [*_name_findings(path, definition), *cross_check(definition, path.parent, expressions=expressions)]
    if findings:
        raise _refuse(path, document, findings)
    return definition


def find_definition(settings: Settings, model: str, *, expressions: bool = True) -> Definition:
    """Load the definition of a model that is asked for by name.

    :param expressions: as for :func:`load_definition`.
    :raises UnknownModel: if the name could not be a model's (no file is opened then), or there is no such file.
    :raises DefinitionError: if the definition is wrong.
    """
    if not _MODEL_NAME.fullmatch(model):
        raise UnknownModel(model[:80], "A model's name is lower-case letters, digits and underscores.")
    path = settings.models / f"{model}.yaml"
    if not path.is_file():
        known = list_definitions(settings)
        raise UnknownModel(model, choose(model, known, kind=f"models in {settings.models}"))
    return load_definition(path, expressions=expressions)


def list_definitions(settings: Settings) -> list[str]:
    """Names of the models that have a file, sorted; nothing is opened."""
    names = (path.stem for path in settings.models.glob("*.yaml"))
    return sorted(name for name in names if _MODEL_NAME.fullmatch(name))


def _name_findings(path: Path, definition: Definition) -> list[Finding]:
    if path.name == f"{definition.model}.yaml":
        return []
    what = f"the model is named {definition.model}, but the file {path.name}"
    return [Finding(("model",), what, f"Rename the file to {definition.model}.yaml, or write `model: {path.stem}`.")]


def _refuse(path: Path, document: Document, findings: list[Finding]) -> DefinitionError:
    problems = {
        Problem(document.line(finding.keys), key_text(finding.keys), finding.what, finding.cure) for finding in findings
    }
    return DefinitionError(path, sorted(problems, key=lambda problem: (problem.line, problem.key, problem.what)))

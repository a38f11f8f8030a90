"""Definitions as Airflow needs them: how a model's runs are arranged, without the cost of parsing its expressions."""

from __future__ import annotations

from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import find_definition


def arrangement_of(settings: Settings, model: str, *, expressions: bool = False) -> Definition:
    """The definition of a model; its SQL expressions are checked only on demand, since that costs an import.

    :raises UnknownModel: if there is none.
    :raises DefinitionError: if it is wrong.
    """
    return find_definition(settings, model, expressions=expressions)

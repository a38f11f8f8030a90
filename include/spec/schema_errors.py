"""Pydantic's complaints about a definition, said in the words of the person who wrote the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from include.spec.definition import Definition
from include.spec.problems import Finding, KeyPath, choose

_WANTED: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list, such as [a, b]",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "date_type": "a day, such as 2013-01-31",
    "date_from_datetime_parsing": "a day, such as 2013-01-31",
    "finite_number": "a finite number",
}
_BOUNDS: Final = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_PATTERN_CURES: Final = {
    "model": "Use lower-case letters, digits and underscores, starting with a letter, such as flight_delay.",
    "connection": "Write the id of an Airflow connection: lower-case letters, digits and underscores, such as "
    "warehouse. Its address and password stay in Airflow.",
    "memory": "Write a number with Mi or Gi, such as 4Gi.",
    "ephemeral_storage": "Write a number with Mi or Gi, such as 4Gi.",
    "gpu_resource": "Write it as the node names it, such as nvidia.com/gpu.",
    **dict.fromkeys(
        ("secrets", "config_maps", "pull_secrets", "priority_class", "service_account"),
        "Write the name of a Kubernetes object: lower-case letters, digits, - and dots.",
    ),
}


def findings_of(error: ValidationError, values: dict[str, Any]) -> list[Finding]:
    """Say each error once, at the key where it is in the file."""
    found: dict[KeyPath, Finding] = {}
    for detail in error.errors(include_url=False):
        keys = _keys_in_file(detail["loc"], values, detail["type"])
        if keys in found and found[keys].cure.startswith("Write"):  # the branches of one union
            found[keys] = _mismatch(keys, "a number, text, or true or false", detail["input"])
        else:
            found[keys] = _finding(keys, detail)
    return list(found.values())


def _keys_in_file(loc: KeyPath, values: Any, kind: str) -> KeyPath:
    """Drop what pydantic adds to the location (names of union branches), keep a missing key's own name."""
    keys: list[str | int] = []
    for key in loc:
        inside = (isinstance(values, dict) and key in values) or (
            isinstance(values, list) and isinstance(key, int) and key < len(values)
        )
        if not inside:
            return (*keys, key) if kind == "missing" else tuple(keys)
        keys.append(key)
        values = values[key]
    return tuple(keys)


def _finding(keys: KeyPath, detail: ErrorDetails) -> Finding:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind in _WANTED:
        return _mismatch(keys, _WANTED[kind], value)
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        return Finding(keys, f"{_describe(value)} is out of range", f"It must be {words} {context[name]}.")
    if kind in _EXPLAINERS:
        return _EXPLAINERS[kind](keys, detail)
    return Finding(keys, detail["msg"], "Look the key up in include/models/README.md.")


def _mismatch(keys: KeyPath, wanted: str, value: object) -> Finding:
    cure = f"Write {wanted}."
    section = _section_at(keys)
    if section is not None:
        cure = f"Write the keys of this section below it: {', '.join(section.model_fields)}."
    elif wanted == "text" and value is not None and not isinstance(value, dict | list):
        cure = f'Write it in quotes to make it text: "{value}".'
    elif isinstance(value, str) and re.fullmatch(r"[-+0-9.e]+|true|false", value):
        cure = f"Write {wanted}, without quotes."
    what = "the value is missing" if value is None else f"{_describe(value)} cannot stand here"
    return Finding(keys, what, cure)


def _describe(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a group of keys"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if len(str(value)) <= 60 else f"{str(value)[:60]}…"
    return f"the text {text!r}" if isinstance(value, str) else text


def _unknown_key(keys: KeyPath, _detail: ErrorDetails) -> Finding:
    section = _section_at(keys[:-1])
    names = list(section.model_fields) if section else []
    return Finding(keys, "there is no such key", choose(keys[-1], names, kind="keys here"))


def _missing_key(keys: KeyPath, _detail: ErrorDetails) -> Finding:
    section = _section_at(keys[:-1])
    field = section.model_fields.get(str(keys[-1])) if section else None
    meaning = f": {field.description}" if field and field.description else "."
    return Finding(keys, "this key is missing", f"Add `{keys[-1]}`{meaning}")


def _wrong_choice(keys: KeyPath, detail: ErrorDetails) -> Finding:
    choices = _choices(detail.get("ctx", {}).get("expected", ""))
    what = f"{_describe(detail['input'])} is not one of the values that it can have"
    return Finding(keys, what, choose(detail["input"], choices, kind="values"))


def _choices(expected: str) -> list[str]:
    return [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(",")]


def _own_words(keys: KeyPath, detail: ErrorDetails) -> Finding:
    what, _, cure = str(detail.get("ctx", {}).get("error", detail["msg"])).partition("; ")
    cure = cure or "look the key up in include/models/README.md"
    return Finding(keys, what, f"{cure[0].upper()}{cure[1:]}.")


def _too_short(keys: KeyPath, _detail: ErrorDetails) -> Finding:
    return Finding(keys, "nothing is listed here", "Write at least one.")


def _wrong_pattern(keys: KeyPath, detail: ErrorDetails) -> Finding:
    name = next((key for key in reversed(keys) if isinstance(key, str)), "")
    cure = _PATTERN_CURES.get(name, f"It must match {detail.get('ctx', {}).get('pattern')}.")
    # An address in the place of a connection may hold a password.
    shown = "this" if name == "connection" else _describe(detail["input"])
    return Finding(keys, f"{shown} is not written as it must be", cure)


_EXPLAINERS: Final[dict[str, Callable[[KeyPath, ErrorDetails], Finding]]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing_key,
    "literal_error": _wrong_choice,
    "value_error": _own_words,
    "too_short": _too_short,
    "string_pattern_mismatch": _wrong_pattern,
}


def _section_at(keys: KeyPath) -> type[BaseModel] | None:
    """The section type that a key path leads to."""
    annotation: Any = Definition
    for key in keys:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(key))
            annotation = _without_none(field.annotation) if field else None
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        elif get_origin(annotation) is list:
            annotation = get_args(annotation)[0]
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _without_none(annotation: Any) -> Any:
    arguments = [one for one in get_args(annotation) if one is not type(None)]
    return arguments[0] if len(arguments) == 1 and type(None) in get_args(annotation) else annotation

"""The project's pod template: a pod in YAML that all step pods start from, checked before it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from include.spec.problems import DefinitionError, Finding, KeyPath, Problem, choose, key_text
from include.spec.yaml_reader import read_document

BASE: Final = "base"
"""Name of the container in which the step runs."""

_PLAIN: Final[dict[str, type | tuple[type, ...]]] = {"str": str, "int": int, "bool": bool, "float": (int, float)}
_SECRET_NAME: Final = re.compile(r"PASSWORD|SECRET|TOKEN|(_|^)KEY$")
_NAMES_A_FILE: Final = frozenset({"NORIA_HASHING_KEY"})
"""Variables whose value is the path of a file that holds the secret."""


def read_template(path: Path | None) -> dict[str, Any]:
    """The template, or an empty one.

    :raises DefinitionError: with file, line, key and cure of everything in it that is wrong.
    """
    if path is None:
        return {}
    document = read_document(path)
    findings = list(template_findings(document.values))
    if findings:
        problems = [Problem(document.line(one.keys), key_text(one.keys), one.what, one.cure) for one in findings]
        raise DefinitionError(path, problems)
    return document.values


def template_findings(template: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with a template: keys that no pod has, values of another type, secrets in plain text."""
    if template.get("kind") != "Pod":
        yield Finding(("kind",), "the template is no pod", "Write `apiVersion: v1` and `kind: Pod` at its top.")
        return
    wrong = list(_shape((), dict(template), "V1Pod"))
    yield from wrong
    if not wrong:
        yield from _containers(template.get("spec") or {})


def _containers(spec: Mapping[str, Any]) -> Iterator[Finding]:
    containers = spec.get("containers") or []
    names = [container.get("name") for container in containers]
    if containers and BASE not in names:
        what = f"no container is named {BASE}, which is the step's"
        yield Finding(("spec", "containers"), what, f"Name the step's container {BASE}; others are its companions.")
    for position, container in enumerate(containers):
        for place, variable in enumerate(container.get("env") or []):
            name, value = str(variable.get("name")), variable.get("value")
            secret = _SECRET_NAME.search(name) and name not in _NAMES_A_FILE
            if value is not None and (secret or _has_password(value)):
                keys = ("spec", "containers", position, "env", place)
                what = f"{name} would stand in the pod's specification in plain text"
                yield Finding(keys, what, "Put it into a Secret, and name that one under `envFrom`.")


def _has_password(value: str) -> bool:
    try:
        return urlsplit(value).password is not None
    except ValueError:
        return False


def _shape(keys: KeyPath, value: Any, kind: str) -> Iterator[Finding]:
    """Where a value differs from Kubernetes' own type of that name, such as ``V1Pod`` or ``list[V1Container]``."""
    if value is None or kind in ("object", "datetime"):
        return
    if kind.startswith("list["):
        yield from _list(keys, value, kind[5:-1])
    elif kind.startswith("dict["):
        yield from _dict(keys, value, kind[5:-1].split(", ")[1])
    elif kind in _PLAIN:
        if not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and kind != "bool"):
            cure = f'Write it in quotes: "{value}".' if kind == "str" and not isinstance(value, dict | list) else ""
            yield Finding(
                keys, f"Kubernetes wants {_words(kind)} here", cure or "`kubectl explain pod` shows the type."
            )
    else:
        yield from _object(keys, value, kind)


def _list(keys: KeyPath, value: Any, item: str) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield Finding(keys, "Kubernetes wants a list here", "Start each item with `- `.")
        return
    for position, inner in enumerate(value):
        yield from _shape((*keys, position), inner, item)


def _dict(keys: KeyPath, value: Any, item: str) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield Finding(keys, "Kubernetes wants names with values here", "Write `name: value` below it.")
        return
    for name, inner in value.items():
        yield from _shape((*keys, name), inner, item)


def _object(keys: KeyPath, value: Any, kind: str) -> Iterator[Finding]:
    from kubernetes.client import models

    model = getattr(models, kind)
    types = {model.attribute_map[name]: inner for name, inner in model.openapi_types.items()}
    if not isinstance(value, dict):
        yield Finding(keys, "Kubernetes wants keys with values here", f"They are: {', '.join(types)}.")
        return
    for name, inner in value.items():
        if name in types:
            yield from _shape((*keys, name), inner, types[name])
        else:
            yield Finding((*keys, name), "there is no such key in a pod", choose(name, types, kind="keys here"))


def _words(kind: str) -> str:
    return {"str": "text", "int": "a whole number", "bool": "true or false", "float": "a number"}[kind]

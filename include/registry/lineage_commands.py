"""``python -m include.registry lineage``: from data to models and predictions, and from a prediction to its data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from include.errors import Refused
from include.registry.lineage import TABLES, Answer, Origin, Source, Touched, answers_of, origin_of, touched_by
from include.settings import Settings
from include.spec.loader import find_definition

LINEAGE = "lineage"
_SUMMARY = (
    "Which models and predictions a version of a table touched (--raw or --features), which data made a version "
    "(--version), and which made a prediction (--request)."
)


def add_lineage(commands: Any) -> None:
    """Add the command to a parser's."""
    command = commands.add_parser(LINEAGE, help=_SUMMARY, description=_SUMMARY)
    command.add_argument("model")
    which = command.add_mutually_exclusive_group(required=True)
    for table in TABLES:
        which.add_argument(f"--{table}", type=int, metavar="N", help=f"a version of the table {table}")
    which.add_argument("--version", type=int, metavar="N", help="a version of the model")
    which.add_argument("--request", metavar="ID", help="the id of a request that was answered")
    command.add_argument("--full", action="store_true", help="every partition with its digest")
    command.add_argument("--json", action="store_true", help="the same as one line of JSON")


def run_lineage(settings: Settings, options: argparse.Namespace) -> list[str]:
    """The lines to print.

    :raises Refused: there is no such version or request.
    """
    definition = find_definition(settings, options.model)
    if options.request is not None:
        answers = answers_of(settings, options.model, options.request)
        origins = [origin_of(settings, definition, version) for version in sorted({one.version for one in answers})]
        if options.json:
            return [_json({"request": options.request, "answers": answers, "made_from": origins})]
        return [*map(_answer, answers), *(line for one in origins for line in _origin(one, full=options.full))]
    if options.version is not None:
        origin = origin_of(settings, definition, options.version)
        return [_json(origin)] if options.json else list(_origin(origin, full=options.full))
    table = next(name for name in TABLES if getattr(options, name) is not None)
    version = getattr(options, table)
    if version < 0:
        raise Refused(f"A table's versions are counted from 0, there is no version {version}.")
    written, touched = touched_by(settings, definition, table, version)
    if options.json:
        return [_json({"table": table, "version": version, "wrote": written, "touched": touched})]
    head = f"Version {version} of the {table} table of {options.model} wrote {_keys(tuple(written))}."
    if not touched:
        return [head, "No registered version was made from them."]
    lines = [line for one in touched for line in _touched(one, full=options.full)]
    return [head, *lines]


def _json(document: Any) -> str:
    def plain(value: Any) -> Any:
        fields = getattr(value, "__dataclass_fields__", None)
        if fields is not None:
            return {name: getattr(value, name) for name in fields if name not in ("decision", "signature")}
        return dict(value) if isinstance(value, Mapping) else str(value)

    return json.dumps(document, default=plain, ensure_ascii=False)


def _keys(keys: tuple[str, ...]) -> str:
    if not keys:
        return "no partition"
    return keys[0] if len(keys) == 1 else f"{len(keys)} partitions, {keys[0]} to {keys[-1]}"


def _touched(one: Touched, *, full: bool) -> Iterator[str]:
    made = one.registered
    yield f"Model version {made.version} ({made.status}, {made.as_of.isoformat()}) was made from {_keys(one.keys)}."
    if full:
        yield f"  {', '.join(one.keys)}"
    for found in one.predictions:
        where = "requests" if found.table == "inference" else "batches"
        yield f"  It answered {found.rows:,} rows of {where}, {found.first.isoformat()} to {found.last.isoformat()}."
    if not one.predictions:
        yield "  It answered nothing that is still in the log or the scores."


def _answer(one: Answer) -> str:
    then = one.then
    champion = "nobody" if then.champion is None else f"version {then.champion}"
    return (
        f"Row {one.row} was answered at {one.at.isoformat()} by version {one.version} as {one.role}; "
        f"champion was {champion}."
    )


def _origin(one: Origin, *, full: bool) -> Iterator[str]:
    made = one.registered
    yield f"Version {made.version} of {made.model}, as of {made.as_of.isoformat()}, {made.status}:"
    yield f"  fingerprint   {made.fingerprint}"
    yield f"  MLflow run    {made.run_id}"
    yield f"  model files   {made.artifact_digest}"
    yield f"  training set  {one.training_set or 'not known'}"
    for part, window in made.windows.items():
        if isinstance(window, Mapping):
            yield f"  {part:12}  {window.get('start')} to {window.get('end')}"
    for source in one.sources:
        yield from _source(source, full=full)


def _source(source: Source, *, full: bool) -> Iterator[str]:
    if source.version is None:
        yield f"  {source.table:12}  not known: MLflow's version does not say"
        return
    if source.partitions is None:
        yield f"  {source.table:12}  version {source.version}, which is not there any more"
        return
    rows = sum(record.rows for record in source.partitions.values())
    yield f"  {source.table:12}  version {source.version}: {_keys(tuple(source.partitions))}, {rows:,} rows"
    if full:
        for key, record in source.partitions.items():
            yield f"    {key}  {record.digest}  {record.rows:,} rows"

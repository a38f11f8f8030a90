"""The reference page of a definition's keys, made from the same types that check a definition."""

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from include.spec.check_training import METRICS
from include.spec.definition import Definition
from include.spec.duration import format_duration
from include.spec.expressions import FUNCTIONS
from include.spec.parameters import OWN_PARAMS, PARAMS
from include.spec.share import Share
from include.spec.trainers import Trainer, linear_parameters

REFERENCE: Final = Path(__file__).resolve().parent.parent / "models" / "README.md"

_PLAIN: Final[dict[Any, str]] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    timedelta: "duration",
    date: "day",
    Share: "share",
}

_HEAD: Final = """\
# Model definitions: the reference

<!-- Made by `python -m include.spec reference` from include/spec; do not edit. -->

One file in this folder declares one model; its name is the model's name. `python -m include.spec check` checks all
files here and says for each problem the file, the line, the key and the cure. Every key is below: those without a
default must be given. A duration is a number with a unit (`45s`, `30m`, `6h`, `7d`, `2w`); a day looks like
`2013-01-31`.

## A short example

```yaml
# include/models/late_parcels.yaml
model: late_parcels
description: Will this parcel arrive late?
owner: logistics
task: binary_classification
source:
  type: files
  path: "{store}/landing/parcels/{partition}.parquet"
  time_zone: Europe/Berlin
  starts: 2025-01-01
  event_time: sent_at
  entity: [parcel]
  columns: {parcel: integer, sent_at: timestamp, service: string, weight: number, hours: number}
label:
  expression: hours > 48
  known_after: 5d
features:
  weight: weight
  weekday: isodow(sent_at)
  service: {expression: lower(service), type: category}
training: {window: 60d, validation: 7d, holdout: 14d}
evaluation:
  metrics: [roc_auc, log_loss]
  gates:
    - {metric: roc_auc, at_least: 0.65}
    - {metric: log_loss, against: champion}
schedule: {data: "0 1 * * *", train: "0 3 * * *"}
```

## Data without time

Without `source.event_time` the data is one whole, which a new delivery replaces. `source` has then no `starts`, `ends`
and `partition`, and its path no `{partition}`; `training.validation` and `training.holdout` are shares of the rows,
such as `15%` or `12.5%`, and the rest is trained on. A hash of `source.entity` says into which part a row falls; it is
the same in every delivery. `known_after` counts from the request then.

```yaml
source:
  type: files
  path: "{store}/landing/tumors.csv"
  entity: [sample]
  columns: {sample: integer, mean_radius: number, diagnosis: string}
training: {validation: 15%, holdout: 20%}
```

## Several tables

Rows from files or a Delta table can be made of several tables. `source.path` names the driving one, which is cut into
partitions as ever; `source.tables` names others; and `source.query` is one SELECT that makes the raw rows of a
partition out of them. It calls the partition's driving rows `source`. All columns are as they lie in the files (those
of CSV are text); what the query gives is then read by `source.columns`.

```yaml
source:
  type: files
  path: "{store}/landing/flights/{partition}.csv"
  tables:
    airports: {path: "{store}/landing/airports.csv"}                 # the same for all partitions
    weather: {path: "{store}/landing/weather/{partition}.parquet"}   # the partition's own
    fleet: {type: delta, path: "{store}/warehouse/fleet"}
  query: >-
    SELECT f.*, a.lat, a.lon, w.wind, p.seats
    FROM source f
    LEFT JOIN airports a ON a.iata = f.origin
    LEFT JOIN weather w ON w.station = f.origin AND w.hour = date_trunc('hour', CAST(f.scheduled_at AS TIMESTAMP))
    LEFT JOIN fleet p USING (tail)
```

A partition waits for the files of all its tables, and is made again when one of them, or the query, has changed. A
query may have joins, WITH, subqueries, GROUP BY, QUALIFY, the functions of [expressions](#expressions), the
aggregates `count`, `count_if`, `min`, `max`, `bool_and` and `bool_or`, `sum` and `avg` of exact numbers (`sum(CAST(x
AS DECIMAL(18, 2)))`), and over windows also `rank`, `dense_rank`, `percent_rank` and `cume_dist`. It reads no other
table and no file, and nothing in it may depend on chance, on the time of day, or on the order in which rows lie: no
`LIMIT`, `row_number()`, `first()` or `ASOF JOIN`. Rows get their order afterwards. If a join multiplies rows, the log
and the gate's page say so.
"""


def reference_page() -> str:
    """The page as Markdown."""
    parts = [_HEAD, *_sections("", Definition, {}), _expressions(), _params(), _metrics()]
    return "\n".join(parts)


def _sections(path: str, section: type[BaseModel], shown: dict[type[BaseModel], str]) -> Iterator[str]:
    """A section with those in it; one that is at two places is shown at the first.

    :param shown: where each section has been shown.
    """
    title = f"## `{path}`" if path else "## Keys at the top"
    if section in shown:
        yield f"{title}\n\nThe keys of [`{shown[section]}`](#{shown[section].replace('.', '')}).\n"
        return
    shown[section] = path
    about = f"\n{_doc(section)}\n" if path else ""
    rows = [f"| `{name}` | {_type(field)} | {_default(field)} | {_cell(field)} |" for name, field in _fields(section)]
    yield "\n".join([title, about, "| key | type | default | meaning |", "|---|---|---|---|", *rows, ""])
    for name, field in _fields(section):
        inner, suffix = _inner(field.annotation)
        if inner is not None:
            yield from _sections(f"{path}.{name}{suffix}" if path else f"{name}{suffix}", inner, shown)


def _fields(section: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return list(section.model_fields.items())


def _doc(section: type[BaseModel]) -> str:
    return " ".join((section.__doc__ or "").split()).replace("``", "`")


def _cell(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The section type inside an annotation, and how its place is written after the key."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin = get_origin(annotation)
    suffix = ".<name>" if origin is dict else "[]" if origin is list else ""
    for argument in get_args(annotation):
        inner, rest = _inner(argument)
        if inner is not None:
            return inner, suffix + rest
    return None, ""


def _type(field: FieldInfo) -> str:
    return _type_name(field.annotation)


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(one) for one in arguments if one is not type(None))
    if origin is list:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"name: {_type_name(arguments[1])}, …"
    if annotation is Any:
        return "as in Kubernetes"
    if origin is not None and arguments:  # Annotated
        return _type_name(arguments[0])
    return "section"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        made = field.get_default(call_default_factory=True, validated_data={})
        return f"`[{', '.join(stage.name for stage in made)}]`" if made else "empty"
    if field.default is PydanticUndefined:
        return "**required**"
    return _value(field.default)


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Trainer):
        return f"`{value.kind}`"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _expressions() -> str:
    functions = ", ".join(f"`{name}`" for name in FUNCTIONS)
    return f"""\
## Expressions

An expression is DuckDB's SQL over the columns of one row (`source.columns`): columns, literals, operators (`//` divides
whole numbers), `CASE`, `CAST` and `TRY_CAST`, `IN`, `BETWEEN`, `LIKE`, `IS NULL`, and these functions:

{functions}.

A feature may not read a column that the label reads. It may also read the columns `<group>_<value>` of the section
[`history`](#historyname). Not allowed are subqueries, aggregates, window functions, and
everything that is not the same for the same row (`random()`, `now()`), or that reads files.
"""


def _params() -> str:
    classes, values = (
        ", ".join(f"`{name}`" for name in linear_parameters(task).bounds)
        for task in ("binary_classification", "regression")
    )
    own = "\n".join(f"| `{name}` | {cure} |" for name, cure in OWN_PARAMS.items())
    return f"""\
## XGBoost parameters

With the trainer `xgboost`, `training.params` may hold {", ".join(f"`{name}`" for name in PARAMS)}.
Noria sets these itself:

| parameter | instead |
|---|---|
{own}

With the trainer `linear` it may hold {classes} (a classification) or {values} (a regression); with a module, what its
`train` reads.
"""


def _metrics() -> str:
    rows = "\n".join(f"| `{task}` | {', '.join(f'`{one}`' for one in names)} |" for task, names in METRICS.items())
    return f"## Metrics\n\n| task | metrics |\n|---|---|\n{rows}\n"

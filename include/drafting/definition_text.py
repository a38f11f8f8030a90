"""The drafted definition as YAML, with a comment wherever a person must look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from include.drafting.choices import DraftFeature, Label, LeftOut
from include.drafting.origin import TableOrigin
from include.drafting.sample import Column, Sample
from include.drafting.windows import WHOLE_PARTS, Cut
from include.spec.duration import format_duration
from include.spec.formats import NEWEST


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Everything that a draft says.

    :param time: None if the rows have no time; then there is no ``cut`` either.
    :param leaks: columns that must not be inputs.
    :param without: columns that cannot be inputs as they are.
    """

    model: str
    owner: str
    sample: Sample
    time: Column | None
    time_zone: str
    entity: Sequence[str]
    label: Label
    cut: Cut | None
    features: Sequence[DraftFeature]
    leaks: Sequence[LeftOut]
    without: Sequence[LeftOut]

    @property
    def columns(self) -> list[Column]:
        """The columns that are taken from the source: those that anything is made of."""
        used = {self.label.column, *self.entity, *(feature.column for feature in self.features)}
        used |= {self.time.name} if self.time else set()
        return [column for column in self.sample.columns.values() if column.name in used]


def definition_text(draft: Draft) -> str:
    """The file ``include/models/<model>.yaml``."""
    parts = [_head(draft), _source(draft), _label(draft), _features(draft), _training(draft), _evaluation(draft)]
    return "\n".join(parts)


def _head(draft: Draft) -> str:
    origin = draft.sample.origin
    named = origin.shown if isinstance(origin, TableOrigin) else origin.path.name
    return f"""\
# A draft from {draft.sample.rows:,} rows of {_one_line(named)}. Read every line, above all those with a ?.
format: {NEWEST}
model: {draft.model}
description: "?"                    # What does it predict, in one sentence?
owner: {_text(draft.owner)}
task: {draft.label.task}
"""


def _source(draft: Draft) -> str:
    columns = "\n".join(f"    {_text(column.name)}: {column.type}" for column in draft.columns)
    entity = ", ".join(map(_text, draft.entity))
    if draft.time is None or draft.cut is None:
        return f"""\
source:
{_place(draft)}\
  # No event_time: the sample has no column with times, so a hash of the entity splits its rows.
  entity: [{entity}]   # ? together they tell every row of the sample from every other
  columns:
{columns}
"""
    cut = draft.cut
    return f"""\
source:
{_place(draft)}\
  partition: {cut.size}
  time_zone: {draft.time_zone}                    # ? the clock of the times, where they have no offset
  starts: {cut.starts}
  ends: {cut.ends}                  # ? the sample's end; remove this line when data keeps coming
  event_time: {_text(draft.time.name)}
  entity: [{entity}]   # ? together they tell every row of the sample from every other
  columns:
{columns}
"""


def _place(draft: Draft) -> str:
    """Where the rows are."""
    origin = draft.sample.origin
    if isinstance(origin, TableOrigin):
        return f"""\
  type: sql
  connection: {origin.database.connection}   # an Airflow connection, which keeps address and password
  table: {_text(origin.table)}   # ? instead of it one query may join several tables
"""
    what = "one file; a new delivery replaces it"
    if draft.cut is not None:
        what = "one file, cut by time; with {partition} in it, a file for each"
    return f"""\
  type: files
  path: {_text(str(origin.path))}   # ? {what}
"""


def _label(draft: Draft) -> str:
    if draft.cut is None:
        return f"""\
label:
  expression: {_text(draft.label.expression)}   # ? what is to be predicted
"""
    return f"""\
label:
  expression: {_text(draft.label.expression)}   # ? what is to be predicted
{_classes(draft)}\
  known_after: {format_duration(draft.cut.known_after)}   # ? how long after the event is the answer known
"""


def _classes(draft: Draft) -> str:
    listed = ", ".join(map(_text, draft.label.classes))
    return f"  classes: [{listed}]   # ? all there can be; later ones are added at the end\n" if listed else ""


def _features(draft: Draft) -> str:
    lines = ["features:"]
    for feature in draft.features:
        expression = _text(feature.expression)
        kind = "" if feature.type == "numeric" else f", type: {feature.type}"
        lines.append(
            f"  {feature.name}: {{expression: {expression}{kind}}}" if kind else f"  {feature.name}: {expression}"
        )
    if draft.leaks:
        lines.append("  # Left out, since they would give the answer away (put one in only if it is known beforehand):")
        lines += [f"  #   {_one_line(leak.column)}: {leak.reason}" for leak in draft.leaks]
    if draft.without:
        lines.append("  # Left out, as no input as they are:")
        lines += [f"  #   {_one_line(leak.column)}: {leak.reason}" for leak in draft.without]
    return "\n".join(lines) + "\n"


def _training(draft: Draft) -> str:
    windows = "\n".join(
        f"  {name}: {length}" for name, length in (draft.cut.windows if draft.cut else WHOLE_PARTS).items()
    )
    return f"""\
training:
{windows}
  params: {{max_depth: 6, learning_rate: 0.1}}
"""


def _evaluation(draft: Draft) -> str:
    if draft.label.task == "regression":
        metrics, metric = "[rmse, mae, r2]", "rmse"
    elif draft.label.task == "multiclass_classification":
        metrics, metric = "[log_loss, roc_auc, macro_f1]", "log_loss"
    else:
        metrics, metric = "[roc_auc, log_loss, f1]", "log_loss"
    drift = (
        ""
        if draft.cut is None
        else f"""\

monitoring:
  drift: {{window: {"24h" if draft.cut.size == "hour" else "7d"}}}
"""
    )
    return f"""\
evaluation:
  metrics: {metrics}
  gates:
    - {{metric: {metric}, against: naive}}
    - {{metric: {metric}, against: champion}}
{drift}
# schedule: {{data: "0 1 * * *", train: "0 2 * * *", monitor: "0 6 * * *"}}
"""


def _text(value: str) -> str:
    """A YAML text: as it is where that is read as the same text, else in quotes."""
    plain = value.isascii() and value.isidentifier() and value.lower() not in {
        "y", "n", "yes", "no", "on", "off", "true", "false", "null",
    }  # fmt: skip
    return value if plain else json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())

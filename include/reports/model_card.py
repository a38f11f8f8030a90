"""What a model card says of a version: one frozen document, from which HTML, Markdown and JSON are made.

The parts are those of Mitchell et al., "Model Cards for Model Reporting" (2019), gathered under the functions of NIST's
AI Risk Management Framework: govern, map, measure, manage. What can change after registration (who approved it, where
it was deployed, what monitoring says) is in :class:`include.reports.model_card_life.Life` and is read anew each time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from include.spec.card import Card

FORMAT: Final = 1
"""Version of the document; keys are only ever added within one."""


class Part(BaseModel):
    """A part of the document: complete, and never changed. Keys of a later release are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Fact(Part):
    """A name and what is said under it."""

    name: str
    value: str


class Figure(Part):
    """A number with its interval.

    :param value: None if it is not defined; then ``reason`` says why.
    :param low: lower end of the interval, None if there is none.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


class Table(Part):
    """A table of the lake that the version was made from.

    :param version: the Delta table's.
    :param digest: content digest of the rows that were used; None if only the version is known.
    """

    name: str
    version: int | None
    digest: str | None = None


class Window(Part):
    """A part of the training set: its rows, and what stretch of the data they are."""

    part: str
    start: str
    end: str
    by: str | None = None
    rows: int | None = None


class Data(Part):
    """What it was trained, validated and judged on.

    :param digest: of the training set, over all rows in order.
    :param missing: partitions that were not there.
    :param features: name and expression of each input; those made from personal columns are only counted in ``hidden``.
    """

    source: str
    label: str
    classes: tuple[str, ...] = ()
    digest: str | None
    tables: tuple[Table, ...]
    windows: tuple[Window, ...]
    missing: tuple[str, ...] = ()
    features: tuple[Fact, ...]
    hidden: int = 0
    personal: int = 0


class Measure(Part):
    """One metric on the holdout rows: of the version, and of those it was held against, by name."""

    name: str
    title: str
    higher_is_better: bool
    leading: bool
    version: Figure
    others: dict[str, Figure] = {}


class SliceQuality(Part):
    """The leading metrics where a column has one value; ``reason`` if there are too few rows.

    :param worse: surely worse there than the champion was.
    """

    column: str
    value: str
    rows: int
    figures: tuple[Figure, ...] = ()
    reason: str | None = None
    worse: bool = False


class Condition(Part):
    """A gate and what became of it."""

    gate: str
    passed: bool
    words: str


class Disturbed(Part):
    """How a metric changes on worse inputs; a negative change is worse."""

    disturbance: str
    metric: str
    before: Figure
    after: Figure
    change: Figure


class Quality(Part):
    """What was measured on the holdout rows before registration.

    :param drawn: what the resamples behind the intervals are made of.
    :param champion: the version that it was compared with, None if there was none.
    :param fairness: as :mod:`include.evaluation.group_fairness` has them.
    :param importance: as :mod:`include.evaluation.explanation` has it.
    """

    rows: int
    threshold: float | None
    confidence: float
    drawn: str
    champion: int | None
    meeting: str
    measures: tuple[Measure, ...]
    slices: tuple[SliceQuality, ...] = ()
    robustness: tuple[Disturbed, ...] = ()
    fairness: tuple[dict[str, Any], ...] = ()
    importance: dict[str, Any] | None = None
    page: str | None = None


class ModelCard(Part):
    """The card of one version, as of its registration.

    :param version: its number.
    :param stated: what people state in the definition.
    :param facts: what it is: task, trainer, fingerprint, digests, code.
    :param parameters: of the training.
    :param verdict: of the decision: promote or keep; None if it was not decided on.
    :param rules: how the definition wants it deployed, watched and taken back.
    :param derived_limits: what the measurements themselves say of its limits.
    """

    format: int = FORMAT
    model: str
    version: int
    description: str
    owner: str
    readers: tuple[str, ...]
    task: str
    as_of: datetime
    registered_at: datetime
    stated: Card
    facts: tuple[Fact, ...]
    parameters: tuple[Fact, ...]
    libraries: tuple[Fact, ...]
    data: Data
    quality: Quality | None
    verdict: str | None
    reason: str
    gates: tuple[Condition, ...]
    rules: tuple[Fact, ...]
    factors: tuple[str, ...]
    sensitive: tuple[str, ...] = ()
    derived_limits: tuple[str, ...] = ()

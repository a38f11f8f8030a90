"""What an alert is: one piece of news about a model, with a key by which it is told once, and links to look further."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from include.spec.alerts import Event

FORMAT: Final = 1
"""Version of the document that channels send; keys are only ever added within one."""

_LONGEST_TITLE = 200
_LONGEST_REASON = 2000


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a reader of an alert can look.

    :param airflow_url: base address of Airflow's UI; empty if it is not known.
    :param tracking_url: MLflow's address.
    :param store: the store's folder or ``s3://`` address, below which the pages lie.
    """

    airflow_url: str
    tracking_url: str
    store: str

    def dag(self, dag_id: str) -> str | None:
        """Address of a DAG's page."""
        return f"{self.airflow_url.rstrip('/')}/dags/{quote(dag_id, safe='')}" if self.airflow_url else None

    def run(self, request: str | None) -> str | None:
        """Address of a DAG run's page.

        :param request: ``<dag id>/<run id>``, as ``plugins.operators.run_facts`` names it.
        """
        dag_id, _, run_id = (request or "").partition("/")
        base = self.dag(dag_id)
        return f"{base}/runs/{quote(run_id, safe='')}" if base and run_id and "." in dag_id else None

    def page(self, path: str | None) -> str | None:
        """Where a page lies, by its path in the store."""
        return f"{self.store}/{path}" if path else None

    def version(self, model: str, number: int | None) -> str | None:
        """Address of a version's page in MLflow."""
        return None if number is None else f"{self.tracking_url.rstrip('/')}/#/models/{model}/versions/{number}"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One piece of news.

    :param subject: what it is about within the model: a partition, a window, a version, a run.
    :param told_once_for: with model and event, what makes it the same piece of news.
    :param title: what happened, in one line.
    :param reason: why, in words.
    :param at: when it happened.
    :param as_of: the instant that the run worked as of, if it has one.
    :param run: the Airflow run that it is about, ``<dag id>/<run id>``.
    :param links: by name (run, page, version, dag): where to look.
    :param details: numbers and names, as JSON.
    """

    model: str
    event: Event
    subject: str
    told_once_for: tuple[str, ...]
    title: str
    reason: str
    at: datetime
    as_of: datetime | None = None
    run: str | None = None
    links: Mapping[str, str | None] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key under which it is told once."""
        return "|".join((self.model, self.event, *self.told_once_for))

    @property
    def id(self) -> str:
        """A short name for the key, the same in every delivery."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:20]

    def to_document(self) -> dict[str, Any]:
        """The JSON that is kept and sent; ``link`` is the first of ``links`` (in the order run, version, page, dag)."""
        links = {name: self.links[name] for name in ("run", "version", "page", "dag") if self.links.get(name)}
        return {
            "noria_alert": FORMAT,
            "id": self.id,
            "event": self.event,
            "model": self.model,
            "title": _cut(" ".join(self.title.split()), _LONGEST_TITLE),
            "reason": _cut(self.reason.strip(), _LONGEST_REASON),
            "subject": self.subject,
            "at": self.at.astimezone(UTC).isoformat(timespec="seconds"),
            "as_of": self.as_of.isoformat() if self.as_of else None,
            "link": next(iter(links.values()), None),
            "links": links,
            "details": dict(self.details),
        }


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"

"""What the pages of models read, as JSON. It only reads: whoever acts does so through Airflow's own API."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Response

from include.console.comparison import comparison_of
from include.console.model import ModelStory, is_known, ledger_before, model_story
from include.console.overview import ModelOverview, known_models, overview
from include.errors import NoriaError
from include.registry.step_costs import costs_of
from plugins.definitions import arrangement_of
from plugins.operators.environment import project_settings, tracking_page
from plugins.pages.cards import Version
from plugins.pages.permissions import ReadableModel, may_answer, may_start, readable_models
from plugins.pages.runs import (
    DagFacts,
    ModelRuns,
    NextRun,
    dags_of,
    models_with_dags,
    newest_runs,
    questions_of,
    read_runs,
)

router = APIRouter(prefix="/api/models")
ACTIONS = ("train", "deploy", "rollback", "retire", "restore")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A model in the list."""

    overview: ModelOverview
    owner: str | None
    paused: bool
    next_run: NextRun | None
    under_way: tuple[str, ...]
    questions: int

    @classmethod
    def of(cls, known: ModelOverview, runs: ModelRuns) -> Line:
        """Put both halves together."""
        return cls(
            overview=known, owner=runs.owner, paused=runs.paused, next_run=runs.next_run, under_way=runs.under_way,
            questions=runs.questions,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelList:
    """All models that a user may see."""

    read_at: datetime
    models: list[Line]


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something that a person can start.

    :param allowed: whether this user may; Airflow decides anew when he does.
    """

    name: str
    dag_id: str
    allowed: bool
    paused: bool


@dataclass(frozen=True, kw_only=True)
class ModelPage:
    """One model's page.

    :param about: what the definition says; None with ``problem`` if it cannot be read.
    """

    read_at: datetime
    user: str
    line: Line
    story: ModelStory
    about: dict[str, Any] | None
    problem: str | None
    actions: list[Action]
    may_answer: bool
    questions: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    tracking: str


@router.get("")
def models(user: GetUserDep, session: SessionDep) -> Response:
    """All models that the user may see."""
    settings = project_settings()
    readable = readable_models(known_models(settings) | models_with_dags(session), user, session)
    with ThreadPoolExecutor(max_workers=1) as beside:  # two databases, or two of its processes, work at the same time
        registry = beside.submit(overview, settings, readable)
        runs = read_runs(session, readable)
    lines = [Line.of(known, runs[known.model]) for known in registry.result()]
    return _json(ModelList(read_at=datetime.now(UTC), models=lines))


@router.get("/costs")
def costs(user: GetUserDep, session: SessionDep) -> Response:
    """Hours of processor time by model: apart, since it adds up all days."""
    settings = project_settings()
    readable = readable_models(known_models(settings) | models_with_dags(session), user, session)
    return _json(costs_of(settings, readable))


@router.get("/{model}")
def model_page(model: ReadableModel, user: GetUserDep, session: SessionDep) -> Response:
    """All that is known of one model, and what the user may do with it."""
    settings = project_settings()
    dags = dags_of(session, model)
    about, problem = _about(model)
    if about is None and not dags and not is_known(settings, model):
        raise HTTPException(404, f"There is no model {model!r}: neither a definition, nor a DAG, nor a version.")
    line, story = model_story(settings, model)
    page = ModelPage(
        read_at=datetime.now(UTC),
        user=user.get_name(),
        line=Line.of(line, read_runs(session, [model])[model]),
        story=story,
        about=about,
        problem=problem,
        actions=[_action(dags[name], user) for name in ACTIONS if name in dags],
        may_answer=may_answer(f"{model}.deploy", user),
        questions=questions_of(session, model),
        runs=newest_runs(session, model),
        tracking=tracking_page(),
    )
    return _json(page)


@router.get("/{model}/versions/{version}/comparison")
def comparison(model: ReadableModel, version: Version) -> Response:
    """A version beside the champion of its evaluation; null if it was never evaluated."""
    return _json(comparison_of(project_settings(), model, version))


@router.get("/{model}/ledger")
def ledger(model: ReadableModel, before: int) -> Response:
    """Older entries of the ledger."""
    return _json(ledger_before(project_settings(), model, before))


def _action(facts: DagFacts, user: Any) -> Action:
    allowed = may_start(facts.dag_id, user)
    return Action(name=facts.family, dag_id=facts.dag_id, allowed=allowed, paused=facts.paused)


def _about(model: str) -> tuple[dict[str, Any] | None, str | None]:
    """What the definition says, or why it says nothing."""
    try:
        definition = arrangement_of(project_settings(), model)
    except NoriaError as error:
        return None, str(error)
    return {
        "description": definition.description,
        "owner": definition.owner,
        "task": definition.task,
        "tags": list(definition.tags),
        "stages": [stage.name for stage in definition.deployment.stages],
        "approval": definition.deployment.approval,
        "metrics": list(definition.evaluation.metrics),
        "schedule": definition.schedule.model_dump(exclude_none=True),
    }, None


def _json(document: object) -> Response:
    return Response(orjson.dumps(document), media_type="application/json", headers={"Cache-Control": "no-store"})

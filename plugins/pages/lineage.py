"""Where data came from and went to, for whoever may look at the model."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path

from include.console.lineage import Answered, Origin, Touched, answered, origins, touched
from plugins.definitions import arrangement_of
from plugins.operators.environment import project_settings
from plugins.pages.permissions import ReadableModel

router = APIRouter(prefix="/api/models/{model}/lineage")


@router.get("")
def made_from(model: ReadableModel) -> list[Origin]:
    """From which data each version was made, as MLflow has it."""
    return origins(project_settings(), model)


@router.get("/tables/{table}/{version}")
def of_data(
    model: ReadableModel, table: Literal["raw", "features"], version: Annotated[int, Path(ge=0, le=2**53)]
) -> Touched:
    """Which versions and predictions a version of a table has touched."""
    settings = project_settings()
    return touched(settings, arrangement_of(settings, model), table, version)


@router.get("/requests/{request_id}")
def of_request(model: ReadableModel, request_id: Annotated[str, Path(max_length=200)]) -> list[Answered]:
    """Which version answered a request."""
    return answered(project_settings(), model, request_id)

"""Programs that ask a model for predictions, made from its signature."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from include.serving.clients.languages import LANGUAGES, client_example
from include.serving.clients.of_definition import signature_of
from plugins.definitions import arrangement_of
from plugins.operators.environment import project_settings
from plugins.pages.permissions import ReadableModel

router = APIRouter(prefix="/api/models")


@router.get("/{model}/clients")
def clients(model: ReadableModel) -> list[dict[str, Any]]:
    """One for each language: its name, a file's name, how that is run, its text. No token, nobody's data."""
    settings = project_settings()
    signature = signature_of(arrangement_of(settings, model))
    return [
        {"language": name, **asdict(language), "text": client_example(signature, name, settings.server_url)}
        for name, language in LANGUAGES.items()
    ]

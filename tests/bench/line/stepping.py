"""One step in the calling process, with the settings of its environment."""

from __future__ import annotations

import os
import uuid
from datetime import datetime
from typing import Any

from include.settings import Settings
from include.spec.loader import find_definition
from include.steps.catalog import load_step
from include.steps.protocol import StepCall


def run_step(step: str, inputs: dict[str, Any], model: str, as_of: str) -> dict[str, Any]:
    """What a step returns for a model as of an instant (ISO 8601)."""
    settings = Settings.from_environment(os.environ)
    call = StepCall(
        settings=settings,
        definition=find_definition(settings, model),
        as_of=datetime.fromisoformat(as_of),
        attempt=uuid.uuid4().hex[:12],
        inputs=inputs,
    )
    return load_step(step)(call)

"""Runs of a model that is retired or on its way there: the nightly ones are skipped, and say why."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from include.errors import TryAgain
from plugins.operators.environment import project_settings

if TYPE_CHECKING:
    from include.registry.deployed import ModelState

ASKED_FOR: Final = frozenset({"manual", "backfill"})
"""Kinds of runs that a person has asked for: they are how a retired model's name is taken up again."""

_log = logging.getLogger(__name__)


def standing_of(model: str) -> ModelState | None:
    """What the registry says of the model; None if it says nothing, or cannot be asked: then the run goes on."""
    from include.registry.deployed import read_state

    try:
        return read_state(project_settings(), model)
    except TryAgain as problem:
        _log.warning("whether %s is retired is not known now, so the run goes on: %s", model, problem)
        return None


def words_of(state: ModelState | None) -> str | None:
    """That a model is retired or being retired; None if it is neither."""
    if state is None:
        return None
    back = f"To bring it back: {state.model}.restore, or the console."
    if state.retired_at is not None:
        return f"{state.model} is retired since {_clock(state.retired_at)}. {back}"
    if state.retiring_until is not None:
        return f"{state.model} is being retired and answers until {_clock(state.retiring_until)} at the latest. {back}"
    return None


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")

"""What an operator remembers of its step for OpenLineage, where that is switched on (README, OpenLineage).

Its provider asks the operator in a fork of the task's process, which can no longer ask Airflow for a connection. So the
addresses that datasets are named by are asked for before, and only if somebody will be told.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow.providers.openlineage import conf

from include.settings import Settings
from plugins.definitions import arrangement_of
from plugins.operators.environment import connection_variables, source_variables


@dataclass(frozen=True, kw_only=True)
class ToldStep:
    """A step's run as its operator knows it.

    :param inputs: what the step was given, as far as it is known yet.
    :param output: what it returned; None before its end and after a failure.
    :param began: when its task began; None before its end.
    :param settings: with the addresses of Airflow's connections; None before the step has begun.
    """

    step: str
    model: str
    as_of: str
    inputs: Mapping[str, Any]
    output: Any = None
    began: datetime | None = None
    settings: Settings | None = field(default=None, repr=False)


def told_of(step: str, model: str, as_of: str, inputs: Mapping[str, Any]) -> ToldStep | None:
    """What is known of a step that begins; None where OpenLineage is off."""
    if conf.is_disabled():
        return None
    definition = arrangement_of(Settings.from_environment(), model)
    settings = Settings.from_environment({**os.environ, **connection_variables(), **source_variables(definition)})
    return ToldStep(step=step, model=model, as_of=as_of, inputs=inputs, settings=settings)

"""What a step is: a plain function from a :class:`StepCall` to a JSON document.

The exit-code contract lives in :mod:`include.errors`; the command line in :mod:`include.steps.__main__`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.settings import Settings
from include.spec.definition import Definition

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StepCall:
    """Everything that a step may look at.

    :param settings: where things are.
    :param definition: the model's definition.
    :param as_of: the run's one instant, with time zone; nothing newer may be used.
    :param attempt: unique name of this try; staging folders carry it, so that two tries never share files.
    :param inputs: outputs of earlier steps and options, as JSON.
    """

    settings: Settings
    definition: Definition
    as_of: datetime
    attempt: str
    inputs: Mapping[str, Any] = field(default_factory=dict)


Step = Callable[[StepCall], Document]

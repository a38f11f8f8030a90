"""What a definition says of a model's end: how long it goes on answering, and how long the end can be undone."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from include.spec.section import Duration, Section


class Retirement(Section):
    """How the model leaves production when a person retires it."""

    drain: Duration = Field(
        timedelta(hours=1),
        description="At most so long it answers on, with the headers `Deprecation` and `Sunset`. 0s: not at all.",
    )
    quiet: Duration = Field(
        timedelta(minutes=1), description="It leaves before that as soon as nobody has asked it for so long."
    )
    keep: Duration = Field(
        timedelta(days=30),
        description="So long the retirement can be undone. Then all is removed that is neither in the archive nor "
        "needed by another model.",
    )

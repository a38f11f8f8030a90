"""What a definition says of what answers rest on."""

from __future__ import annotations

from pydantic import Field

from include.spec.section import Section


class Importance(Section):
    """What a version's answers rest on, beside the champion's on the same holdout rows."""

    rows: int = Field(1000, ge=100, le=20_000, description="Holdout rows whose answers are explained.")
    jump: float = Field(
        0.25,
        gt=0,
        le=1,
        description="An alarm: from which part of the importance on that lies on other inputs than in the champion. "
        "It keeps no version back.",
    )

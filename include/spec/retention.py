"""What a definition says of how long its data is kept."""

from __future__ import annotations

from pydantic import Field

from include.spec.section import Duration, Section


class Retention(Section):
    """How long data is kept, as of a data run; what is left out is kept for good. Requests: `serving.log.retention`."""

    data: Duration | None = Field(
        None,
        description="Partitions of `raw` and `features`, in all their versions, since they ended. Not for data without "
        "time.",
    )
    scores: Duration | None = Field(None, description="Partitions of `scores` likewise, but for those of files.")
    quarantine: Duration | None = Field(None, description="What gates refused, since it was refused.")
    training_sets: Duration | None = Field(
        None,
        description="Training sets, since they were last assembled; at least 1d. They can be assembled anew, to the "
        "byte, as long as their data is kept.",
    )

"""Step archive: what audits need of a retired model goes into one folder of the store, with a manifest."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from include.registry.retirement_state import Retirement


def run(call: StepCall) -> Document:
    """Make the archive, unless it is there.

    Inputs: ``retired`` (output of the step retire), ``actor``.

    :returns: archive (its folder in the store), digest (of its manifest), files, signer, problems, is_new.
    :raises NotRetiredNow: the retirement was undone.
    :raises ArchiveDamaged: there is one, and it is not what it was.
    """
    from include.retirement.archive import make_archive

    made = make_archive(call.settings, retirement_of(call), actor=str(call.inputs.get("actor") or "airflow"))
    checked = made.checked
    return {
        "archive": made.place,
        "digest": checked.digest,
        "files": len(checked.document["files"]),
        "signer": checked.signer,
        "problems": checked.document["problems"],
        "is_new": made.is_new,
    }


def retirement_of(call: StepCall) -> Retirement:
    """The retirement that the run is about, if it is still the model's.

    :raises NotRetiredNow: it was undone.
    """
    from include.registry.refusals import NotRetiredNow
    from include.registry.retirement import read_retirement

    found = read_retirement(call.settings, call.definition.model)
    began = datetime.fromisoformat(call.inputs["retired"]["began_at"])
    if found is None or found.began_at != began or found.is_draining:
        raise NotRetiredNow(call.definition.model)
    return found

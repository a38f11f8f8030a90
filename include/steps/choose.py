"""Step ``choose``: settles which version a scoring uses.

A step of its own, so that its output is kept: a retried or cleared scoring goes on with the version that the run began
with, although another one may be champion by then.

Inputs: ``version`` (none: the champion of this moment) and ``force``.
"""

from __future__ import annotations

import logging
from typing import Any

from include.errors import Refused
from include.steps.protocol import Document, StepCall

log = logging.getLogger(__name__)


class VersionMalformed(Refused):
    """What was named is no version number."""

    def __init__(self, version: object) -> None:
        self.version = version
        super().__init__(f"{version!r} is no version: write its number, or leave it empty for the champion.")


def run(call: StepCall) -> Document:
    """The version that scores.

    :returns: ``version``, ``named``, ``status``, ``trained_as_of``, ``artifact_digest``.
    :raises NobodyToScore: if none is named and there is no champion.
    :raises VersionUnknown: if there is no such version.
    :raises VersionNotUsable: if it is barred or retired, without ``force``.
    """
    chosen = choose(call, call.inputs.get("version"))
    log.info("version %d scores (%s)", chosen.version, "named" if chosen.named else "the champion")
    document: Document = chosen.to_document()
    return document


def choose(call: StepCall, version: Any) -> Any:
    """The version as the registry has it now."""
    from include.serving.scoring.version import choose_version

    if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 1):
        raise VersionMalformed(version)
    return choose_version(call.settings, call.definition.model, version, force=bool(call.inputs.get("force")))

"""The targets, a module for each kind of input."""

from __future__ import annotations

from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import definitions, documents, expressions, files, keys, request_log, requests

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for module in (definitions, expressions, keys, requests, request_log, documents, files)
    for target in module.TARGETS
}

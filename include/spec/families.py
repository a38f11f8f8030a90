"""The DAG families: every model has one DAG of each, named ``<model>.<family>``."""

from __future__ import annotations

from typing import Final

FAMILIES: Final = ("data", "train", "deploy", "rollback", "score", "monitor", "retire", "restore")

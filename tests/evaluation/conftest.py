"""The fixtures of this room."""

from tests.evaluation.contest import contest

__all__ = ["contest"]

"""The fixtures of this room: the small world in which the steps are judged."""

from tests.steps.conftest import evaluate, shared_world, world

__all__ = ["evaluate", "shared_world", "world"]

"""The fixtures of this room."""

from tests.serving.world import logged_models, tracked, tracking_url

__all__ = ["logged_models", "tracked", "tracking_url"]

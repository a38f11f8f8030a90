"""The fixtures of this room."""

from tests.registry.stored_versions import have_version
from tests.serving.world import logged_models, tracked, tracking_url

__all__ = ["have_version", "logged_models", "tracked", "tracking_url"]

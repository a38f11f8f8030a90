"""The fixtures of this room."""

from tests.registry.stored_versions import have_version

__all__ = ["have_version"]

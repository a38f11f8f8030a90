"""The plugin's pages, imported when the first one is asked for: most of Airflow's processes never are."""

from __future__ import annotations

import asyncio
from typing import Any


class LazyApp:
    """An ASGI application that stands for the one in ``plugins.pages.app``."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand the request on."""
        app = await asyncio.to_thread(_app)
        await app(scope, receive, send)


def _app() -> Any:
    from plugins.pages.app import app

    return app

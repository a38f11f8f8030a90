"""The only file that Airflow loads from here by itself; everything else is imported as ``plugins.…``."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

import plugins.preloaded
from include.settings import step_mode
from plugins.operators.pod_link import PREFIX
from plugins.pages.lazy import LazyApp

if step_mode() == "kubernetes":
    # It takes seconds, which each task would pay anew.
    import plugins.operators.pods.run  # noqa: F401


class NoriaPlugin(AirflowPlugin):
    """Noria in Airflow's list of plugins."""

    name = "noria"
    fastapi_apps = [{"name": "noria", "app": LazyApp(), "url_prefix": PREFIX}]  # noqa: RUF012 - Airflow's own way
    # Relative to where Airflow is served, which may be below any path.
    external_views = [  # noqa: RUF012 - the same
        {
            "name": "Models",
            "href": f"{PREFIX.removeprefix('/')}/models/",
            "destination": "nav",
            "url_route": "models",
            "nav_top_level": True,
            "icon": f"{PREFIX.removeprefix('/')}/models/assets/models.svg",
            "icon_dark_mode": f"{PREFIX.removeprefix('/')}/models/assets/models-dark.svg",
        }
    ]

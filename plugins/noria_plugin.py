"""The only file that Airflow loads from here by itself; everything else is imported as ``plugins.…``."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class NoriaPlugin(AirflowPlugin):
    """Noria in Airflow's list of plugins."""

    name = "noria"

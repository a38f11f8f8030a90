"""Real data sets that packages ship, landed as files or tables: ``python -m include.datasets <model>``."""

from __future__ import annotations

from include.datasets.landing import DatasetMissing, Landed
from include.settings import Settings

__all__ = ["DatasetMissing", "Landed", "land", "packaged_models"]


def packaged_models() -> list[str]:
    """The models whose data set a package ships."""
    return ["airport_temperature", "bike_demand", "flight_delay", "flight_outcome", "tumor_malignant"]


def land(settings: Settings, model: str, *, force: bool = False) -> Landed | None:
    """Land the packaged data set of a model in the landing zone of the store, or in the database that it reads.

    Running it again writes nothing if everything is there; files appear whole or not at all.

    :param force: write every file anew, also those that are there.
    :returns: what lies there now; ``None`` if no package ships data for that model.
    :raises DatasetMissing: if the package with the data is not installed.
    :raises NoConnection: if the database that it goes to is not known here.
    """
    from include.datasets.bikes import land_bikes
    from include.datasets.flights import land_flights
    from include.datasets.tumors import land_tumors
    from include.datasets.weather import CONNECTION, land_weather
    from include.lake.store import store_of

    store, landing = store_of(settings), settings.store / "landing"
    if model in ("flight_delay", "flight_outcome"):
        return land_flights(store, landing, force=force)
    if model == "bike_demand":
        return land_bikes(store, landing, force=force)
    if model == "airport_temperature":
        return land_weather(settings.connection(CONNECTION), force=force)
    if model == "tumor_malignant":
        return land_tumors(store, landing, force=force)
    return None

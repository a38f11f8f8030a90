"""The address of a version's model card on Airflow's server."""

from __future__ import annotations

from plugins.operators.pod_link import PREFIX


def card_page(model: str, version: int) -> str:
    """Address of a version's card."""
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}{PREFIX}/models/{model}/versions/{version}/card"

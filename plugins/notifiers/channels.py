"""Channels of alerts from Airflow's connections: the only place where their addresses and secrets are.

- http, a webhook: host (with or without ``https://`` and a path), schema, port; login and password for basic
  authentication, or a password alone as bearer token; extra: ``style`` (json, slack), ``path``, ``headers``
- slackwebhook, a webhook of Slack's: the password is its token; host: another one than Slack's
- smtp, e-mail: host, port, login, password; extra: ``to`` (address or list), ``from_email``, ``disable_ssl``,
  ``disable_tls``
- fs, a file: extra: ``path``
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseHook, Variable
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

from include.spec.alerts import Alerts
from plugins.operators.environment import http_url

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from include.alerts.sending import Channel

CHANNELS_VARIABLE: Final = "noria_alerts_to"
_SLACK: Final = "https://hooks.slack.com/services"


def channels_for(rules: Alerts) -> list[str]:
    """Ids of the connections that are told: the definition's, else those that the platform names for all models."""
    if rules.to is not None:
        return list(rules.to)
    named = str(Variable.get(CHANNELS_VARIABLE, default="") or "")
    return [name.strip() for name in named.split(",") if name.strip()]


def channel_of(name: str) -> Channel:
    """The channel of a connection.

    :raises SendFailed: there is no such connection, or nothing can be sent to it; says what to change.
    """
    from include.alerts.sending import SendFailed

    try:
        connection = BaseHook.get_connection(name)
    except (AirflowNotFoundException, AirflowRuntimeError):
        raise SendFailed(f"Airflow has no connection with the id {name}") from None
    kind = (connection.conn_type or "").lower()
    if kind not in _BUILDERS:
        raise SendFailed(f"the connection {name} is of the type {kind}; alerts need one of: {', '.join(_BUILDERS)}")
    try:
        return _BUILDERS[kind](connection, json.loads(connection.extra) if connection.extra else {})
    except (KeyError, ValueError, TypeError) as problem:
        word = f"{problem.args[0]}" if isinstance(problem, KeyError) else type(problem).__name__
        raise SendFailed(f"the connection {name} of the type {kind} lacks or has a wrong value: {word}") from None


def _webhook(connection: Connection, extra: dict[str, Any]) -> Channel:
    from include.alerts.webhook import Webhook

    style = extra.get("style", "json")
    if style not in ("json", "slack"):
        raise KeyError("style in its extra, which is json or slack")
    if not connection.host:
        raise KeyError("host")
    headers = {str(name): str(value) for name, value in dict(extra.get("headers") or {}).items()}
    login = (connection.login, connection.password or "") if connection.login else None
    if connection.password and login is None:
        headers.setdefault("Authorization", f"Bearer {connection.password}")
    path = str(extra.get("path") or "")
    url = f"{http_url(connection).rstrip('/')}/{path.lstrip('/')}" if path else http_url(connection)
    return Webhook(url=url, style=style, headers=headers, login=login)


def _slack(connection: Connection, extra: dict[str, Any]) -> Channel:  # noqa: ARG001 - as all builders
    from include.alerts.webhook import Webhook

    if not connection.password:
        raise KeyError("password, which is the webhook's token")
    base = http_url(connection).rstrip("/") if connection.host else _SLACK
    return Webhook(url=f"{base}/{connection.password.lstrip('/')}", style="slack")


def _mail(connection: Connection, extra: dict[str, Any]) -> Channel:
    from include.alerts.mail import Mail, Security

    recipients = extra["to"]
    plain: Security = "none" if extra.get("disable_tls") else "starttls"
    security: Security = plain if extra.get("disable_ssl") else "ssl"
    sender = str(extra.get("from_email") or connection.login or "")
    if not connection.host or not sender:
        raise KeyError("from_email in its extra" if connection.host else "host")
    return Mail(
        host=connection.host,
        port=int(connection.port or (465 if security == "ssl" else 587 if security == "starttls" else 25)),
        sender=sender,
        recipients=(recipients,) if isinstance(recipients, str) else tuple(str(one) for one in recipients),
        security=security,
        login=(connection.login, connection.password or "") if connection.login else None,
    )


def _file(connection: Connection, extra: dict[str, Any]) -> Channel:  # noqa: ARG001 - as all builders
    from include.alerts.file import File

    path = Path(str(extra["path"]))
    if not path.is_absolute():
        raise KeyError("path in its extra, which must be absolute")
    return File(path=path)


_BUILDERS: Final = {"http": _webhook, "slackwebhook": _slack, "smtp": _mail, "fs": _file}

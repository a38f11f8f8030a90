"""The channel webhook: a POST of JSON, as Noria writes it or as Slack and its likes read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import requests

from include.alerts.sending import Document, SendFailed

_TIMEOUTS: Final = (2.0, 4.0)  # to connect, between two bytes of the answer
_LONGEST_SLACK_TEXT: Final = 2900

Style = Literal["json", "slack"]


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """An address that takes alerts.

    :param url: where to; may hold a token, so it is never printed.
    :param style: ``json``: the alert's document; ``slack``: ``{"text", "blocks"}``.
    :param headers: sent along.
    :param login: user and password for basic authentication.
    """

    url: str = field(repr=False)
    style: Style = "json"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    login: tuple[str, str] | None = field(default=None, repr=False)

    def send(self, document: Document) -> None:
        """POST it; any answer of 2xx means that it is taken. Redirects are not followed.

        :raises SendFailed: another answer, or none.
        """
        body = dict(document) if self.style == "json" else slack_body(document)
        headers = {"User-Agent": "noria", "Idempotency-Key": str(document["id"]), **self.headers}
        try:
            with requests.post(
                self.url,
                json=body,
                headers=headers,
                auth=self.login,
                timeout=_TIMEOUTS,
                allow_redirects=False,
                stream=True,
            ) as answer:
                status = answer.status_code
        except requests.RequestException as problem:
            raise SendFailed(f"{type(problem).__name__}: the webhook does not answer") from None
        if not 200 <= status < 300:
            raise SendFailed(f"the webhook answered with HTTP status {status}")


def slack_body(document: Document) -> dict[str, Any]:
    """The alert as a Slack message; ``text`` alone is enough for those that know no blocks (Mattermost, Teams, …)."""
    title, link = _escaped(document["title"]), document.get("link")
    # Slack reads <address|words> as a link; the address of a page in a folder is none.
    linked = f"<{link}|{title}>" if link and "://" in str(link) else title
    text = f"*{linked}*\n{_escaped(document['reason'])}"[:_LONGEST_SLACK_TEXT]
    facts = [f"{name}: {_escaped(document[name])}" for name in ("model", "event", "subject", "as_of") if document[name]]
    return {
        "text": text,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(facts)}]},
        ],
    }


def _escaped(value: object) -> str:
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

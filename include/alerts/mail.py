"""The channel e-mail: one message over SMTP, plain text."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, Literal

from include.alerts.sending import Document, SendFailed

_TIMEOUT: Final = 4.0

Security = Literal["ssl", "starttls", "none"]


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A server that takes mail, and whom to write to.

    :param security: ``ssl`` from the first byte, ``starttls``, or ``none``. Certificates are verified.
    :param login: user and password; None: the server asks for none.
    """

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    security: Security = "ssl"
    login: tuple[str, str] | None = field(default=None, repr=False)

    def send(self, document: Document) -> None:
        """Write to all recipients.

        :raises SendFailed: the server does not take it, or not for all of them.
        """
        try:
            with self._server() as server:
                refused = server.send_message(self._message(document))
        except smtplib.SMTPResponseException as problem:
            raise SendFailed(f"the mail server answered {problem.smtp_code} ({type(problem).__name__})") from None
        except (smtplib.SMTPException, OSError) as problem:
            raise SendFailed(f"{type(problem).__name__}: the mail server {self.host} does not take it") from None
        if refused:
            raise SendFailed(
                f"the mail server took it, but not for {len(refused)} of {len(self.recipients)} recipients"
            )

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        secure = ssl.create_default_context()
        with (
            smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT, context=secure)
            if self.security == "ssl"
            else smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT)
        ) as server:
            if self.security == "starttls":
                server.starttls(context=secure)
            if self.login is not None:
                server.login(*self.login)
            yield server

    def _message(self, document: Document) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = f"[{document['model']}] {document['title']}"
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Date"] = format_datetime(datetime.now(UTC))
        # The same alert has the same id, so that a mail program shows a repeated one once.
        message["Message-ID"] = f"<{document['id']}@noria>"
        message.set_content(_text(document))
        return message


def _text(document: Document) -> str:
    facts = {name: document[name] for name in ("event", "model", "subject", "as_of", "at")} | dict(document["links"])
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in facts.items() if value]
    return "\n".join([str(document["title"]), "", str(document["reason"]), "", *lines, "", f"Alert {document['id']}"])

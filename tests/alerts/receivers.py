"""Real receivers of alerts on loopback: a webhook and a mail server whose moods a test sets."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """A webhook: what it answers (a status, ``hang`` or ``drip``), and what it got."""

    port: int = 0
    mood: int | str = 200
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def webhook() -> Iterator[Hook]:
    """Run one."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if hook.mood == "hang":
                hook.over.wait(60)
                return
            if hook.mood == "drip":
                self.wfile.write(b"HTTP/1.1 ")
                while not hook.over.wait(0.05):
                    self.wfile.write(b"2")
                    self.wfile.flush()
                return
            if hook.mood == 200:
                hook.bodies.append(body)
                hook.headers.append(dict(self.headers))
            self.send_response(int(hook.mood))
            self.send_header("Location", hook.url)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hook
    hook.over.set()
    server.shutdown()
    server.server_close()


@dataclass
class Postbox:
    """A mail server: what it answers to a message, and what it got."""

    port: int = 0
    answer: str = "250 taken"
    messages: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[Postbox]:
    """Run one that speaks as much SMTP as a client needs."""
    box = Postbox()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                word = line[:4].upper()
                if word == "DATA":
                    self.say("354 go on")
                    lines = iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), ".")
                    text = "\n".join(lines)
                    if box.answer.startswith("250"):
                        box.messages.append(text)
                    self.say(box.answer)
                    continue
                if word == "RCPT":
                    box.recipients.append(line.partition("<")[2].rstrip(">"))
                self.say("221 bye" if word == "QUIT" else "250 here")

        def say(self, words: str) -> None:
            self.wfile.write(f"{words}\r\n".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    box.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield box
    server.shutdown()
    server.server_close()

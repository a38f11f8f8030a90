"""A real S3 API server on loopback for tests (moto's), buckets in it, and a line to it that can be cut."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from include.settings import Settings

KEY, SECRET = "noria-test-key", "noria-test-secret"
_SETUP_CALLS = 4  # what IAM lets pass before it asks who is there


@dataclass(frozen=True)
class ObjectStorage:
    """The running server."""

    endpoint: str
    log: Path

    def client(self, service: str = "s3", key: str = KEY, secret: str = SECRET) -> Any:
        import boto3

        return boto3.client(
            service, endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=key,
            aws_secret_access_key=secret,
        )  # fmt: skip

    def make_bucket(self, name: str) -> str:
        self.client().create_bucket(Bucket=name)
        return name

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", []))

    def environment(self, bucket: str, *, prefix: str = "noria", endpoint: str | None = None) -> dict[str, str]:
        """The variables that lead to a bucket."""
        return {
            "NORIA_STORE": f"s3://{bucket}/{prefix}",
            "NORIA_STORE_ENDPOINT": endpoint or self.endpoint,
            "NORIA_STORE_ALLOW_HTTP": "true",
            "NORIA_STORE_KEY": KEY,
            "NORIA_STORE_SECRET": SECRET,
        }


def in_bucket(settings: Settings, variables: dict[str, str]) -> Settings:
    """Settings of a process of its own, which shares only the bucket with all others: each has its own copies."""
    found = Settings.from_environment({"NORIA_HOME": str(settings.home), **variables})
    return replace(settings, store=found.store, bucket=found.bucket)


@contextmanager
def running_storage(folder: Path, **environment: str) -> Iterator[ObjectStorage]:
    """Start the server, and stop it at the end."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "moto.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **environment}
        )
    storage = ObjectStorage(f"http://127.0.0.1:{port}", folder / "moto.log")
    try:
        deadline = time.monotonic() + 60
        while not _answers(f"{storage.endpoint}/moto-api/"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(storage.log.read_text()[-2000:])
            time.sleep(0.1)
        yield storage
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def guarded_storage(folder: Path, bucket: str, *, allowed: str) -> Iterator[tuple[ObjectStorage, str, str]]:
    """A server that asks who is there: with it the key and secret of somebody who may only do ``allowed``."""
    with running_storage(folder, INITIAL_NO_AUTH_ACTION_COUNT=str(_SETUP_CALLS)) as storage:
        storage.make_bucket(bucket)
        iam = storage.client("iam")
        iam.create_user(UserName="noria")
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}
        iam.put_user_policy(UserName="noria", PolicyName="noria", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName="noria")["AccessKey"]
        yield storage, made["AccessKeyId"], made["SecretAccessKey"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)
    except OSError:
        return False


@dataclass
class Line:
    """A line to the server that passes on so many bytes each way and is then cut, again and again.

    :param up: bytes to the server before a connection is cut; None for all.
    :param down: bytes from it; None for all.
    """

    target: str
    up: int | None = None
    down: int | None = None
    cuts: int = 0
    _socket: socket.socket = field(default_factory=socket.socket)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            host, port = self.target.removeprefix("http://").split(":")
            server = socket.create_connection((host, int(port)))
            for source, sink, limit in ((caller, server, "up"), (server, caller, "down")):
                threading.Thread(target=self._pass_on, args=(source, sink, limit), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, limit: str) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65_536):
                most = getattr(self, limit)
                if most is not None and passed + len(data) > most:
                    sink.sendall(data[: most - passed])
                    self.cuts += 1
                    break
                passed += len(data)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def line_to(storage: ObjectStorage) -> Iterator[Line]:
    """A line to the server that may be cut."""
    line = Line(storage.endpoint)
    line._socket.bind(("127.0.0.1", 0))
    line._socket.listen(64)
    threading.Thread(target=line.serve, daemon=True).start()
    try:
        yield line
    finally:
        line._socket.close()

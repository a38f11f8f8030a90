"""What can go wrong with a bucket, told apart: what may heal by itself (try again), and what a person has to change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from obstore.exceptions import BaseError

from include.errors import Refused, TryAgain
from include.settings import Bucket

_NO_BUCKET: Final = re.compile(r"NoSuchBucket|bucket does not exist", re.IGNORECASE)
_DENIED: Final = re.compile(
    r"\b40[13] (Forbidden|Unauthorized)|\bstatus: 40[13]|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|"
    r"InvalidToken|ExpiredToken|PermissionDenied|Unauthenticated|lacked the required privileges|lacked valid auth",
    re.IGNORECASE,
)
_NO_CREDENTIALS: Final = re.compile(r"169\.254\.|CredentialProvider|[Ff]ailed to (load|get) (the )?[Cc]redential")
_NO_CONDITIONS: Final = re.compile(r"\b501\b|NotImplemented", re.IGNORECASE)
_MARKUP: Final = re.compile(r"\x1b\[[0-9;]*m|↳")
_LONGEST: Final = 400


class StoreAway(TryAgain):
    """The bucket cannot be reached, or broke off; what was being done can be done again."""

    def __init__(self, bucket: Bucket, doing: str, why: str) -> None:
        self.bucket = bucket
        super().__init__(
            f"The store {bucket.url}{_at(bucket)} could not be reached while {doing}: {why}. Nothing half-written is "
            "visible. If it stays away, look at NORIA_STORE_ENDPOINT and the network."
        )


class StoreRefuses(Refused):
    """The bucket is not there, or does not let us."""

    def __init__(self, bucket: Bucket, doing: str, why: str, cure: str) -> None:
        self.bucket = bucket
        super().__init__(f"The store {bucket.url}{_at(bucket)} refused {doing}: {why}. {cure}")


@contextmanager
def named_faults(bucket: Bucket, doing: str) -> Iterator[None]:
    """Turn what the object store's client raises into errors that say what happened and what to do.

    That a file or a table is not there, or that another writer was first, stays what it is.

    :param doing: what is being done, such as ``reading raw/2024-01-01.parquet``.
    :raises StoreAway: if it may go well another time.
    :raises StoreRefuses: if somebody has to change something.
    """
    try:
        yield
    except CommitFailedError as error:
        if _is_ours(error):
            raise _named(bucket, doing, error) from None
        raise
    except (OSError, DeltaError, BaseError) as error:
        if _is_local(error) or (_is_absent(error) and not is_no_bucket(error)):
            raise
        raise _named(bucket, doing, error) from None


def is_no_bucket(error: Exception) -> bool:
    """Whether the client means the bucket, where it says that something is not there."""
    return bool(_NO_BUCKET.search(str(error)))


def _named(bucket: Bucket, doing: str, error: Exception) -> StoreAway | StoreRefuses:
    text = str(error)
    why = _short(text, bucket.secrets)
    if _NO_BUCKET.search(text):
        cure = "Create the bucket, or correct NORIA_STORE."
        return StoreRefuses(bucket, doing, f"there is no bucket {bucket.name}", cure)
    if _DENIED.search(text):
        who = "with the key of NORIA_STORE_KEY" if bucket.key else "with this machine's own identity"
        cure = (
            f"Access {who} is denied: it needs GetObject, PutObject, DeleteObject and ListBucket below {bucket.url}. "
            "Correct the Airflow connection noria_store, or the Secret with NORIA_STORE_KEY and NORIA_STORE_SECRET."
        )
        return StoreRefuses(bucket, doing, why, cure)
    if _NO_CREDENTIALS.search(text) and bucket.key is None:
        cure = "Set NORIA_STORE_KEY and NORIA_STORE_SECRET (Airflow connection noria_store, or a Secret)."
        return StoreRefuses(bucket, doing, f"there are no credentials ({why})", cure)
    if _NO_CONDITIONS.search(text):
        cure = "It has to know conditional writes (If-None-Match), which keep two writers apart."
        return StoreRefuses(bucket, doing, why, cure)
    return StoreAway(bucket, doing, why)


def _is_local(error: Exception) -> bool:
    """A fault of this machine's own disk, such as a full one: not the bucket's, whose errors carry no number."""
    return isinstance(error, OSError) and error.errno is not None


def _is_absent(error: Exception) -> bool:
    return isinstance(error, (FileNotFoundError, TableNotFoundError))


def _is_ours(error: Exception) -> bool:
    """A commit that failed for another reason than that somebody else committed."""
    text = str(error)
    return bool(_DENIED.search(text) or _NO_BUCKET.search(text) or "error sending request" in text.lower())


def _at(bucket: Bucket) -> str:
    return f" at {bucket.endpoint}" if bucket.endpoint else ""


def _short(text: str, secrets: Sequence[str]) -> str:
    """The client's words on one line, without its colours and anything secret."""
    line = " ".join(_MARKUP.sub(" ", text.partition("Debug source")[0]).split())
    for secret in secrets:
        line = line.replace(secret, "***")
    line = re.sub(r"(X-Amz-[A-Za-z-]+|Authorization)[=:]\S+", r"\1=…", line)
    return (line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…").rstrip(". ") or "no reason was given"

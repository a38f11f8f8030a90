"""What every protocol turns a request into, and what it hands back: the shapes between codecs, engine and log.

A codec is a pure object without a server. It checks structure only; types, limits and unseen values are the packaged
model's to refuse. Small requests travel as rows (the compiled path), large ones as columns that are never taken apart.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

if typing.TYPE_CHECKING:
    from include.serving.limits import Limits
    from include.serving.validation import RequestRefused

Row = dict[str, Any]
Headers = Mapping[bytes, bytes]
SMALL = 32
"""Most rows that a column-wise request is turned into rows for."""


@dataclass(slots=True)
class Call:
    """One request as the engine sees it: ``count`` rows, in exactly one of two forms.

    :param count: number of rows, at least 1.
    :param rows: the rows as flat dictionaries of JSON scalars, or None.
    :param columns: the same by column, or None: lists of JSON scalars with None for null, or numpy arrays without null.
    :param request_id: the id that the body itself carries, if it is a plain one.
    :param options: the codec's own, from decode to encode.
    """

    count: int
    rows: list[Row] | None = None
    columns: dict[str, Any] | None = None
    request_id: str | None = None
    options: Any = None

    def first_row(self) -> Row:
        """The first row with plain Python values."""
        if self.rows is not None:
            return self.rows[0]
        return {name: _plain(values[0]) for name, values in (self.columns or {}).items()}

    def as_rows(self) -> list[Row]:
        """All rows with plain Python values."""
        if self.rows is not None:
            return self.rows
        return rows_of(self.columns or {}, self.count)

    def has(self, names: Set[str]) -> bool:
        """Whether every row has all of these fields."""
        if self.rows is not None:
            return all(names <= row.keys() for row in self.rows)
        return names <= (self.columns or {}).keys()

    def without(self, names: Set[str]) -> Call:
        """The same rows without these fields."""
        rows, columns = self.rows, self.columns
        if rows is not None:
            rows = [{name: value for name, value in row.items() if name not in names} for row in rows]
        if columns is not None:
            columns = {name: values for name, values in columns.items() if name not in names}
        return Call(self.count, rows, columns, self.request_id, self.options)

    def slice(self, start: int, stop: int) -> Call:
        """The rows from start up to before stop as a call of their own; arrays are views, nothing is copied deeply."""
        stop = min(stop, self.count)
        rows = None if self.rows is None else self.rows[start:stop]
        columns = None if self.columns is None else {name: values[start:stop] for name, values in self.columns.items()}
        return Call(max(0, stop - start), rows, columns, self.request_id, self.options)


@dataclass(slots=True)
class Encoded:
    """An answer's bytes.

    :param headers: headers beside the content type; the engine adds its own (version, role, request id).
    :param status: HTTP status.
    """

    body: bytes
    content_type: bytes = b"application/json"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    status: int = 200


class Protocol(typing.Protocol):
    """One language of requests and answers.

    ``headers`` are ASGI's: lower-case names as bytes. ``columns`` maps the names that a row may have (inputs first, in
    the model's order, then optional entity columns) to their types.
    """

    name: str
    """How the request log calls it."""

    def decode(self, body: bytes, headers: Headers, columns: Mapping[str, str], limits: Limits) -> Call:
        """Read a request.

        :raises RequestRefused: a 4xx that names field and row where there is one.
        """
        ...

    def encode(
        self,
        call: Call,
        predictions: Sequence[Any],
        *,
        model: str,
        version: int,
        request_id: str,
        classes: Sequence[str] = (),
    ) -> Encoded:
        """The answer to a call that :meth:`decode` made.

        :param predictions: for each row a number, or the probabilities of the classes.
        :param classes: in the order of the probabilities; none if a prediction is one number.
        """
        ...

    def refuse(self, refused: RequestRefused, request_id: str) -> Encoded:
        """A refusal (or a failure of the server: status 5xx) in the protocol's own shape."""
        ...


def from_columns(columns: dict[str, Any], count: int, *, request_id: str | None = None, options: Any = None) -> Call:
    """A call from columns: as rows if there are few."""
    if count <= SMALL:
        return Call(count, rows_of(columns, count), None, request_id, options)
    return Call(count, None, columns, request_id, options)


def rows_of(columns: Mapping[str, Any], count: int) -> list[Row]:
    """Columns of equal length as rows with plain Python values."""
    if not columns:
        return [{} for _ in range(count)]
    names = tuple(columns)
    lists = [values if isinstance(values, list) else values.tolist() for values in columns.values()]
    return [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)]


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value

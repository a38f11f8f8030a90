"""The names of datasets: the one home. They last as long as store, MLflow, server and source keep their places.

They follow OpenLineage's conventions, so that a catalog joins them with what other systems tell of the same data:
``file`` and a path, ``s3://bucket`` and a key, ``postgres://host:port`` and ``database.schema.table``. User name,
password and parameters of an address are never part of a name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from include.lake.paths import relative_to_store, table_folder
from include.lineage.datasets import Assertion, Dataset
from include.settings import NoConnection, Settings
from include.spec.definition import Definition

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_SCHEMES: Final[Mapping[str, str]] = {"postgresql": "postgres"}  # as OpenLineage calls them
_DIALECTS: Final[Mapping[str, str]] = {"postgresql": "postgres", "mssql": "tsql", "mariadb": "mysql"}
_STORE: Final = "{store}/"
_VERSION_FACTS: Final = "noria_modelVersion"


class DatasetNames:
    """Names of a model's datasets."""

    def __init__(self, settings: Settings, definition: Definition) -> None:
        self._settings = settings
        self._definition = definition
        self._model = definition.model

    @property
    def store(self) -> str:
        """The namespace of everything that lies in the store."""
        return "file" if self._settings.bucket is None else f"s3://{self._settings.bucket.name}"

    def sources(self) -> tuple[Dataset, ...]:
        """What the model's raw rows come from."""
        source = self._definition.source
        if source.type == "sql":
            return tuple(self._of_database())
        return tuple(self._at(path) for path in (source.path, *(table.path for table in source.tables.values())))

    def table(self, name: str, version: object = None, rows: object = None) -> Dataset:
        """A Delta table of the lake; its columns are told where a version is written."""
        folder = relative_to_store(self._settings, table_folder(self._settings, self._model, name))
        columns = self._columns(name) if rows is not None else {}
        return self._in_store(folder, version, rows=_number(rows), columns=columns)

    def staged(
        self,
        table: str,
        reference: Mapping[str, Any] | None,
        *,
        accepted: bool = False,
        assertions: tuple[Assertion, ...] = (),
    ) -> Dataset:
        """What is staged for a table: before its gate, or (``accepted``) what the gate lets through."""
        known, place = reference or {}, "accepted" if accepted else "staged"
        return self._in_store(
            f"staging/{self._model}/{table}/{place}",
            known.get("digest"),
            rows=_number(known.get("rows")),
            assertions=assertions,
        )

    def training_set(
        self, reference: Mapping[str, Any] | None, assertions: tuple[Assertion, ...] = (), *, written: bool = False
    ) -> Dataset:
        """The training sets of the model; which one, says the digest."""
        known = reference or {}
        told = {"windows": known.get("windows"), "rows": known.get("rows")} if written and known else {}
        return self._in_store(
            f"training/{self._model}",
            known.get("digest"),
            rows=sum(known["rows"].values()) if told else None,
            columns=self._columns("features") if told else {},
            assertions=assertions,
            facts={"noria_trainingSet": told} if told else {},
        )

    def report(
        self, kind: Literal["evaluation", "drift"], path: object, assertions: tuple[Assertion, ...] = ()
    ) -> Dataset:
        """A kind of report; which one, says its path below the store."""
        return self._in_store(f"reports/{self._model}/{kind}", path, assertions=assertions)

    def run(self, run_id: object) -> Dataset:
        """The model's runs in MLflow."""
        return self._tracked(f"runs/{self._model}", run_id)

    def model_version(self, version: object, facts: Mapping[str, Any] | None = None) -> Dataset:
        """The model's registered versions.

        :param facts: what is known of this one.
        """
        return self._tracked(f"models/{self._model}", version, {_VERSION_FACTS: facts} if facts else {})

    def deployment(self, version: object, facts: Mapping[str, Any] | None = None) -> Dataset:
        """What of the model is deployed; the version is that of the model."""
        return Dataset(
            namespace=_without_secrets(self._settings.server_url),
            name=f"deployments/{self._model}",
            version=_text(version),
            facts={"noria_deployment": facts} if facts else {},
        )

    def delivered(self, path: str) -> Dataset:
        """Files that are scored, by the pattern that the form names."""
        return self._at(path if path.startswith("/") else f"{_STORE}{path}")

    def _in_store(self, path: str, version: object, **more: Any) -> Dataset:
        bucket = self._settings.bucket
        name = f"{self._settings.store}/{path}" if bucket is None else f"{bucket.prefix}/{path}".strip("/")
        return Dataset(namespace=self.store, name=name, version=_text(version), **more)

    def _at(self, path: str) -> Dataset:
        """Files by their pattern: the folder in which they are, if there is one for each partition."""
        folder = path.partition("{partition}")[0].rpartition("/")[0] if "{partition}" in path else path
        if folder.startswith(_STORE):
            return self._in_store(folder.removeprefix(_STORE), None)
        return Dataset(namespace="file", name=folder)

    def _tracked(self, name: str, version: object, facts: Mapping[str, Mapping[str, Any]] | None = None) -> Dataset:
        namespace = _without_secrets(self._settings.tracking_url)
        return Dataset(namespace=namespace, name=name, version=_text(version), facts=facts or {})

    def _columns(self, table: str) -> Mapping[str, str]:
        if table == "raw":
            return dict(self._definition.source.columns)
        if table != "features":
            return {}
        module = self._definition.feature_module
        computed = {name: feature.type for name, feature in self._definition.features.items()}
        return {**computed, **(module.columns if module else {})}

    def _of_database(self) -> Iterator[Dataset]:
        """The tables that a source of type sql reads, in the database that its connection leads to."""
        from sqlalchemy.engine import make_url

        source = self._definition.source
        connection = source.connection or ""
        try:
            url = make_url(self._settings.connection(connection))
        except NoConnection:  # known to the steps' pods only
            tables = [source.table] if source.table else _tables(source.query or "", None)
            yield from (Dataset(namespace=f"connection://{connection}", name=table) for table in tables)
            return
        backend = url.get_backend_name()
        tables = [source.table] if source.table else _tables(source.query or "", _DIALECTS.get(backend, backend))
        for table in tables:
            yield Dataset(
                namespace=_database_server(url), name=".".join(part for part in (url.database, table) if part)
            )


def _database_server(url: URL) -> str:
    """Scheme, host and port of a database; a socket's folder is this machine."""
    scheme = _SCHEMES.get(url.get_backend_name(), url.get_backend_name())
    host = url.host or "localhost"
    return f"{scheme}://{host}:{url.port}" if url.port else f"{scheme}://{host}"


def _tables(query: str, dialect: str | None) -> list[str]:
    """The tables that a query reads; none if this SQL is not understood."""
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(query, dialect=dialect)
    except (sqlglot.ParseError, sqlglot.TokenError, ValueError):
        return []
    inner = {part.alias_or_name for part in tree.find_all(exp.CTE)}
    names = (".".join(part.name for part in table.parts) for table in tree.find_all(exp.Table))
    return sorted({name for name in names if name and name not in inner})


def _without_secrets(address: str) -> str:
    """Scheme, host and port of an address, and nothing else of it."""
    parts = urlsplit(address)
    host = parts.hostname or "localhost"
    return f"{parts.scheme}://{host}:{parts.port}" if parts.port else f"{parts.scheme}://{host}"


def _text(version: object) -> str | None:
    return None if version is None else str(version)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None

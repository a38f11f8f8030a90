"""Names of datasets: stable, as other systems call the same things, and without anything secret."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest

from include.lineage.names import DatasetNames
from include.settings import Bucket, Settings
from tests.lake.delta_world import delta_definition
from tests.lake.sql_world import connected, sql_definition

SECRET = "w0rd/of:a@secret"
QUERY = "WITH recent AS (SELECT * FROM sales.orders) SELECT r.* FROM recent r JOIN crm.shops s ON s.id = r.shop"


def source_names(settings: Settings, url: str | None, **source: object) -> set[tuple[str, str]]:
    known = settings if url is None else connected(settings, url)
    return {(one.namespace, one.name) for one in DatasetNames(known, sql_definition(**source)).sources()}


@pytest.mark.parametrize(
    ("url", "server", "database"),
    [
        ("postgresql://clerk:{word}@db.example:5433/shop?sslkey={word}", "postgres://db.example:5433", "shop."),
        ("postgresql+psycopg2://clerk@/shop?host=/folder&password={word}", "postgres://localhost", "shop."),
        ("mysql+pymysql://clerk:{word}@db.example/shop", "mysql://db.example", "shop."),
    ],
)  # fmt: skip
def test_a_table_is_named_by_its_server_without_user_password_and_parameters(
    settings: Settings, url: str, server: str, database: str
) -> None:
    url = url.format(word=quote(SECRET, safe=""))
    assert source_names(settings, url, table="sales.orders") == {(server, f"{database}sales.orders")}
    assert source_names(settings, url, table=None, query=QUERY) == {
        (server, f"{database}sales.orders"),
        (server, f"{database}crm.shops"),
    }


def test_a_connection_that_only_pods_know_is_named_by_its_id(settings: Settings) -> None:
    assert source_names(settings, None, table="orders") == {("connection://shop", "orders")}


def test_sql_that_is_not_understood_names_no_table(settings: Settings) -> None:
    assert source_names(settings, None, table=None, query="SELECT FROM FROM (") == set()


def test_services_are_named_without_their_credentials(settings: Settings) -> None:
    word = quote(SECRET, safe="")
    address = f"https://ana:{word}@service.example:8443/below?token={word}"
    names = DatasetNames(replace(settings, tracking_url=address, server_url=address), sql_definition())
    for dataset in (names.run("r1"), names.model_version(3), names.deployment(3)):
        assert dataset.namespace == "https://service.example:8443"


def test_the_store_is_a_folder_or_a_bucket(settings: Settings) -> None:
    definition = delta_definition(path="{store}/warehouse/orders")
    folder = DatasetNames(settings, definition)
    assert folder.table("raw", 4).name == f"{settings.store}/lake/{definition.model}/raw"
    assert (folder.table("raw", 4).namespace, folder.table("raw", 4).version) == ("file", "4")
    bucket = Bucket(name="ml", prefix="noria", key="AKIA", secret=SECRET)
    in_bucket = DatasetNames(replace(settings, bucket=bucket), definition)
    table, (source,) = in_bucket.table("raw"), in_bucket.sources()
    assert (table.namespace, table.name) == ("s3://ml", f"noria/lake/{definition.model}/raw")
    assert (source.namespace, source.name) == ("s3://ml", "noria/warehouse/orders")
    assert SECRET not in repr([table, source])


def test_a_file_for_each_partition_is_named_by_its_folder(settings: Settings) -> None:
    definition = sql_definition(
        type="files", connection=None, table=None, path="/data/flights/{partition}.csv", format="csv"
    )
    (source,) = DatasetNames(settings, definition).sources()
    assert (source.namespace, source.name) == ("file", "/data/flights")

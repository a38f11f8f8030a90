"""Signed versions: what is noticed, what is refused and why, and that nothing else changes a signature."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from sqlalchemy import Connection, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from include.registry import database, deployed, state
from include.registry.signing import SignatureMissing, SignatureWrong, SignedVersion, SignerUnknown, check, statement
from include.registry.signing_keys import (
    PUBLIC_FILE,
    KeysExist,
    KeyUnusable,
    SigningKeyMissing,
    SigningKeyUntrusted,
    make_pair,
    private_key,
    trusted_keys,
)
from include.registry.versions import get_version
from include.settings import Settings
from tests.signing import checking, sign_version, signing, tamper

VERSION = SignedVersion(
    model="m", version=1, fingerprint="f", run_id="r", as_of=datetime(2013, 10, 1, tzinfo=UTC), artifact_digest="d",
    model_uri="u", windows={"train": ["a", "b"]}, decision={"threshold": 0.5},
)  # fmt: skip


@pytest.fixture
def keyed(stored_settings: Settings, tmp_path: Path) -> Settings:
    return signing(stored_settings, tmp_path / "keys")


@pytest.fixture
def signed(keyed: Settings, have_version: Callable[..., int]) -> Settings:
    """Two signed versions, of which the first is champion; the settings can only check."""
    for version in (1, 2):
        have_version(version)
        tamper(keyed, 'decision = \'{"threshold": 0.5, "gates": []}\', windows = \'{"train": [1]}\'', "m", version)
        sign_version(keyed, "m", version)
    state.switch_champion(keyed, "m", 1, actor="ana", reason="first")
    return checking(keyed)


def known(settings: Settings) -> list[SignedVersion]:
    """The version as the registry gives it, and as what is in production."""
    champion = deployed.champion(settings, "m")
    assert champion is not None
    return [get_version(settings, "m", 1), champion]


# ---- what is noticed ------------------------------------------------------------------------------------------------


@pytest.mark.database
@pytest.mark.parametrize(
    "change",
    [
        "fingerprint = 'other'",
        "run_id = 'other'",
        "as_of = as_of + interval '1 microsecond'",
        "artifact_digest = 'd2'",
        "model_uri = 'models:/m-2'",
        "windows = '{\"train\": [1.0]}'",
        "windows = '{}'",
        "decision = jsonb_set(decision, '{threshold}', '0.4')",
        "decision = decision - 'gates'",
        "decision = decision || '{\"promote\": true}'",
        "signature = reverse(signature)",
        "signature = ''",
    ],
)
def test_every_change_of_a_signed_row_is_noticed(signed: Settings, change: str) -> None:
    for version in known(signed):
        check(signed, version)
    tamper(signed, change, "m", 1)
    for version in known(signed):
        with pytest.raises(SignatureWrong, match=r"m version 1 is not trusted.*changed since.*train again"):
            check(signed, version)


@pytest.mark.database
def test_status_and_time_are_not_signed(signed: Settings) -> None:
    tamper(signed, "status = 'retired', created_at = now()", "m", 1)
    for version in known(signed):
        check(signed, version)


@pytest.mark.database
def test_a_signature_does_not_stand_for_another_version_or_model(signed: Settings) -> None:
    other = get_version(signed, "m", 2)
    tamper(signed, "signature = :signature", "m", 1, signature=other.signature)
    with pytest.raises(SignatureWrong):
        check(signed, known(signed)[0])
    check(signed, other)
    for moved in (replace(other, model="n"), replace(other, version=3)):
        with pytest.raises(SignatureWrong):
            check(signed, moved)


@pytest.mark.database
def test_a_version_without_signature_is_refused_only_where_keys_are_configured(
    stored_settings: Settings, keyed: Settings, have_version: Callable[..., int]
) -> None:
    have_version(1)
    row = get_version(stored_settings, "m", 1)
    check(stored_settings, row)
    with pytest.raises(SignatureMissing, match=r"python -m include\.registry sign m"):
        check(keyed, row)


@pytest.mark.database
def test_a_key_that_is_added_is_believed_and_one_that_is_removed_is_not(signed: Settings, tmp_path: Path) -> None:
    row = known(signed)[0]
    theirs = signing(signed, tmp_path / "theirs")
    with pytest.raises(SignerUnknown, match=f"signed by the key {row.signer}"):
        check(theirs, row)
    both = tmp_path / "both.pem"
    both.write_text(
        "\n# two keys\n".join((path / PUBLIC_FILE).read_text() for path in (tmp_path / "keys", tmp_path / "theirs"))
    )
    rotated = replace(theirs, trusted_keys=str(both))
    check(rotated, row)
    sign_version(rotated, "m", 2)
    check(rotated, get_version(rotated, "m", 2))
    both.write_text((tmp_path / "theirs" / PUBLIC_FILE).read_text())
    with pytest.raises(SignerUnknown):
        check(rotated, row)
    check(rotated, get_version(rotated, "m", 2))


# ---- the bytes that are signed --------------------------------------------------------------------------------------

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
documents = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)
ODD: Mapping[str, Any] = {
    "zero": -0.0,
    "one": 1.0,
    "large": 1e22,
    "small": 5e-324,
    "high": 1.7e308,
    "é\u2028\U0001f600": [[]],
}


@pytest.fixture(scope="module")
def json_database(postgres: Any) -> Any:
    with database.create(postgres.url("postgres")).connect() as connection:
        yield connection


def from_database(connection: Connection, document: Any) -> Any:
    return connection.execute(select(literal(document, JSONB))).scalar_one()


@pytest.mark.database
@budget(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=st.dictionaries(words, documents, max_size=4))
def test_what_the_database_gave_back_is_signed_and_gives_the_same_bytes_ever_after(
    json_database: Connection, document: dict[str, Any]
) -> None:
    once = from_database(json_database, {**ODD, **document})
    bytes_once = statement(replace(VERSION, decision=once))
    again = from_database(json_database, once)
    on_disk = json.loads(json.dumps(once))
    shuffled = dict(reversed(once.items()))
    for other in (again, on_disk, shuffled):
        assert statement(replace(VERSION, decision=other)) == bytes_once


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down: 1, 1.0 and true are three things."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


fields = st.fixed_dictionaries({
    **dict.fromkeys(("model", "fingerprint", "run_id", "artifact_digest", "model_uri"), words),
    "version": st.integers(),
    "as_of": st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    "windows": st.dictionaries(words, documents, max_size=2),
    "decision": st.dictionaries(words, documents, max_size=2),
})  # fmt: skip


@budget(max_examples=300, deadline=None)
@given(
    one=fields, other=fields, keep=st.sets(st.sampled_from(sorted(VERSION.__dict__.keys() - {"signature", "signer"})))
)
def test_different_versions_give_different_bytes(one: dict[str, Any], other: dict[str, Any], keep: set[str]) -> None:
    other = {**other, **{name: deepcopy(one[name]) for name in keep}}
    equal = statement(SignedVersion(**one)) == statement(SignedVersion(**other))
    assert equal == same(one, other)


@given(text=words, cut=st.integers(0, 8))
def test_no_text_moves_from_one_field_to_the_next(text: str, cut: int) -> None:
    assume(text)
    one = replace(VERSION, fingerprint=text[:cut], run_id=text[cut:])
    other = replace(VERSION, fingerprint=text, run_id="")
    assert (statement(one) == statement(other)) == (one == other)


def test_an_instant_has_the_same_bytes_in_every_time_zone() -> None:
    elsewhere = VERSION.as_of.astimezone(timezone(timedelta(hours=-4)))
    assert statement(replace(VERSION, as_of=elsewhere)) == statement(VERSION)
    assert statement(VERSION).startswith(b"noria model version 1\n{")


# ---- keys -----------------------------------------------------------------------------------------------------------


def test_a_pair_is_made_once_and_the_private_key_is_its_owners_alone(settings: Settings, tmp_path: Path) -> None:
    name = make_pair(tmp_path / "k")
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "k").iterdir()} == {
        "signing.pem": 0o600, "trusted.pem": 0o644,
    }  # fmt: skip
    made = signing(settings, tmp_path / "k")
    assert list(trusted_keys(made) or {}) == [name]
    assert private_key(made) is not None
    content = (tmp_path / "k" / "signing.pem").read_text()
    with pytest.raises(KeysExist):
        make_pair(tmp_path / "k")
    as_text = replace(made, signing_key=content, trusted_keys=(tmp_path / "k" / "trusted.pem").read_text())
    assert private_key(as_text) is not None
    assert content not in repr(as_text)


@pytest.mark.parametrize(
    ("mode", "fine"), [(0o600, True), (0o440, True), (0o604, False), (0o620, False), (0o644, False)]
)
def test_a_private_key_that_others_may_read_or_replace_is_refused(
    settings: Settings, tmp_path: Path, mode: int, fine: bool
) -> None:
    made = signing(settings, tmp_path / "k")
    (tmp_path / "k" / "signing.pem").chmod(mode)
    if fine:
        assert private_key(made) is not None
    else:
        with pytest.raises(KeyUnusable, match="chmod 600"):
            private_key(made)


def test_keys_that_cannot_be_used_are_said_without_their_content(settings: Settings, tmp_path: Path) -> None:
    made = signing(settings, tmp_path / "k")
    theirs = signing(settings, tmp_path / "theirs")
    with pytest.raises(SigningKeyMissing, match="noria_signing"):
        private_key(checking(made))
    with pytest.raises(SigningKeyUntrusted, match="not among NORIA_TRUSTED_KEYS"):
        private_key(replace(made, signing_key=theirs.signing_key))
    assert private_key(settings) is None
    secret = (tmp_path / "k" / "signing.pem").read_text()
    for content in (secret.replace("M", "N", 1), secret[:60], "", "no key"):
        (tmp_path / "k" / "signing.pem").write_text(content)
        with pytest.raises(KeyUnusable) as caught:
            private_key(made)
        assert not content.strip() or content.split("\n")[min(1, content.count("\n"))] not in str(caught.value)
    for content, why in ((secret, "private key"), ("", "no public key"), ("no key", "no public key")):
        (tmp_path / "k" / "trusted.pem").write_text(content)
        with pytest.raises(KeyUnusable, match=why):
            trusted_keys(made)
    (tmp_path / "k" / "trusted.pem").unlink()
    with pytest.raises(KeyUnusable, match="No such file"):
        trusted_keys(made)

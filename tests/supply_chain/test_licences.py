"""Licences: known by what is installed, held against what is accepted, and the page is what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.licenses import canonicalize_license_expression

from include.supply_chain import __main__ as command
from include.supply_chain import licences
from include.supply_chain.licences import UnknownLicence, find_licences, is_accepted, superfluous, unacceptable
from include.supply_chain.locks import all_pinned
from include.supply_chain.policy import BadPolicy, Declared, Excepted, Licences, read_policy

ALLOWED = frozenset({"MIT", "Apache-2.0"})


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("Apache-2.0 AND (GPL-3.0-only OR MIT)", True),
        ("Apache-2.0 WITH LLVM-exception", False),
    ],
)
def test_of_alternatives_one_is_enough_and_of_sums_all_are_needed(expression: str, accepted: bool) -> None:
    assert is_accepted(expression, ALLOWED) is accepted


def test_licences_come_from_metadata_unless_they_are_declared() -> None:
    policy = Licences(allowed=ALLOWED, declared={"duckdb": Declared(licence="ISC", reason="for this test")})
    found = find_licences(policy, ["duckdb", "pytest", "numpy", "certifi"])
    assert found["duckdb"] == "ISC"
    assert (found["pytest"], found["certifi"]) == ("MIT", "MPL-2.0")
    assert found["numpy"].startswith("BSD-3-Clause AND ")


def test_a_package_of_which_nothing_is_known_is_named_with_the_cure() -> None:
    with pytest.raises(UnknownLicence, match=r"licences of jinja2, not-there are not known here.*licences.declared"):
        find_licences(Licences(allowed=ALLOWED), ["not-there", "jinja2", "pytest"])  # jinja2 only says BSD


def test_an_exception_holds_for_its_package_and_its_licence_only() -> None:
    policy = Licences(allowed=ALLOWED, excepted={"a": Excepted(licence="ISC", reason="for this test")})
    found = unacceptable(policy, {"a": "ISC", "b": "ISC", "c": "MIT"})
    assert [one.package for one in found] == ["b"]
    assert "b is under ISC, which supply-chain.toml does not accept" in str(found[0])
    assert unacceptable(policy, {"a": "GPL-3.0-only"})


def test_what_no_lock_has_any_more_is_named() -> None:
    said = Declared(licence="MIT", reason="for this test")
    assert superfluous(Licences(allowed=ALLOWED, declared={"gone": said, "here": said}), {"here": "MIT"}) == ["gone"]


def test_every_licence_of_the_locks_is_an_spdx_expression() -> None:
    for name, licence in find_licences(read_policy().licences, (name for name, _ in all_pinned())).items():
        assert canonicalize_license_expression(licence) == licence, name


def test_the_page_is_fresh_and_a_change_makes_it_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["licences", "--check"]) == 0
    stale = tmp_path / "LICENSES.md"
    stale.write_text(licences.PAGE.read_text().replace("| MIT |", "| ISC |", 1))
    assert not licences.page_is_fresh(read_policy().licences, stale)
    policy = tmp_path / "policy.toml"
    policy.write_text('[licences]\nallowed = ["MIT"]\n' + _declared())
    assert command.main(["--policy", str(policy), "licences", "--check"]) == 1
    assert "numpy is under BSD-3-Clause AND" in capsys.readouterr().err


def _declared() -> str:
    said = read_policy().licences.declared
    return "".join(
        f'[licences.declared.{name}]\nlicence = "{one.licence}"\nreason = "{one.reason}"\n'
        for name, one in said.items()
    )


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "licences = {}",
        "licences = {allowed = [], more = 1}",
        'licences = {allowed = []}\n[[vulnerabilities]]\nid = "A"\npackage = "a"\nexpires = 2026-01-01',
        'licences = {allowed = []}\nvulnerabilities = [{id = "A", package = "a", reason = "for good", expires = "no"}]',
        'licences = {allowed = [], declared = {a = {licence = "MIT", reason = "short"}}}',
    ],
)
def test_a_policy_that_says_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(BadPolicy, match=r"policy\.toml is not as it has to be"):
        read_policy(path)

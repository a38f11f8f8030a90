"""The audit: a finding fails unless it is accepted and in time, and without the service it says what it last knew."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from include.supply_chain import __main__ as command
from include.supply_chain.audit import (
    AcceptanceExpired,
    Answer,
    AuditFailed,
    Finding,
    VulnerablePackages,
    ask,
    idle,
    keep,
    unaccepted,
)
from include.supply_chain.locks import Pinned
from include.supply_chain.policy import read_policy
from tests.supply_chain.vulnerability_service import Known, service, vulnerability

PINNED = {(name, version): Pinned(name, version) for name, version in (("a", "1.0"), ("b", "1.5"))}
LEAK = {"a==1.0": [vulnerability("GHSA-1", "a", "2.0", alias="CVE-2026-1")]}
FINDING = Finding("a", "1.0", ("CVE-2026-1", "GHSA-1"), ("2.0",), "a can be made to leak")
NOBODY = "http://127.0.0.1:9/v1/query"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NORIA_HOME", str(tmp_path))
    monkeypatch.setattr(command, "all_pinned", lambda: PINNED)
    return tmp_path


def accept(home: Path, name: str = "CVE-2026-1", package: str = "a", days: int = 3) -> Path:
    """A policy that accepts one vulnerability for so many days more."""
    until = datetime.now(UTC).date() + timedelta(days=days)
    path = home / "policy.toml"
    path.write_text(
        f'licences = {{allowed = []}}\n[[vulnerabilities]]\nid = "{name}"\npackage = "{package}"\n'
        f'reason = "nobody can reach that code"\nexpires = {until}\n'
    )
    return path


def audited(known: Known, *words: str) -> int:
    with service(known) as address:
        return command.main([*words, "audit", "--service", address])


def test_packages_of_which_nothing_is_known_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert audited({"a==0.9": [vulnerability("GHSA-0", "a", "1.0")]}) == 0
    assert capsys.readouterr().out == "2 locked packages, 0 known vulnerabilities, all of them accepted.\n"


def test_a_finding_fails_with_its_names_and_its_cure_until_it_is_accepted(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(LEAK) == VulnerablePackages.exit_code
    assert "a 1.0: CVE-2026-1, GHSA-1, mended in 2.0: a can be made to leak\n" in capsys.readouterr().err
    assert audited(LEAK, "--policy", str(accept(home, days=0))) == 0
    assert "1 known vulnerabilities, all of them accepted" in capsys.readouterr().out


def test_an_acceptance_holds_for_its_package_by_any_of_the_names_and_is_told_when_it_is_idle(home: Path) -> None:
    answer = Answer(datetime.now(UTC), ("a==1.0",), (FINDING,))
    for name, package, holds in (("GHSA-1", "a", True), ("CVE-2026-1", "a", True), ("GHSA-1", "b", False)):
        accepted = read_policy(accept(home, name, package)).vulnerabilities
        assert (unaccepted(answer, accepted, PINNED.values()) == []) is holds
        assert (idle(answer, accepted) == []) is holds


def test_what_is_not_locked_any_more_is_no_finding() -> None:
    answer = Answer(datetime.now(UTC), ("a==1.0",), (FINDING,))
    assert unaccepted(answer, (), [Pinned("a", "1.1")]) == []


@pytest.mark.parametrize("address", [NOBODY, None], ids=["nobody answers", "the service answers"])
def test_an_expired_acceptance_fails_with_and_without_the_service(
    home: Path, address: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--policy", str(accept(home, days=-1)), "audit", "--service"]
    with service({}) as running:
        assert command.main([*words, address or running]) == AcceptanceExpired.exit_code
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert f"over: CVE-2026-1 in a until {yesterday}. Bring the package" in capsys.readouterr().err


def test_without_the_service_it_says_so_in_one_line_and_does_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["audit", "--service", NOBODY]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert f"{NOBODY}, cannot be reached: ConnectionError. No answer of an earlier day is kept" in printed


def test_without_the_service_the_last_answer_is_named_with_its_date(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(Answer(datetime(2026, 3, 1, tzinfo=UTC), ("a==1.0",), (FINDING,)), home / "audit.json")
    assert command.main(["audit", "--service", NOBODY]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "Its last answer is of 2026-03-01; 1 of 2 packages are newer. a 1.0: CVE-2026-1, GHSA-1" in printed


def test_a_last_answer_that_cannot_be_read_is_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "audit.json").write_text("{")
    assert command.main(["audit", "--service", NOBODY]) == 0
    assert "No answer of an earlier day is kept" in capsys.readouterr().out


def test_a_service_that_answers_with_errors_is_not_reached(capsys: pytest.CaptureFixture[str]) -> None:
    with service({}, status=503) as address:
        assert command.main(["audit", "--service", address]) == 0
    assert "cannot be reached: it answered 503." in capsys.readouterr().out


def test_an_answer_that_nobody_understands_is_an_error_and_no_pass(tmp_path: Path) -> None:
    with service({"a==1.0": [{"schema_version": "1.6.0"}]}) as address, pytest.raises(AuditFailed, match="KeyError"):
        ask(PINNED.values(), tmp_path / "cache", address)


def test_each_version_of_a_package_is_asked_for(tmp_path: Path) -> None:
    known = {"a==2.0": [vulnerability("GHSA-2", "a")], "b==1.5": [vulnerability("GHSA-3", "b", "1.6")]}
    with service(known) as address:
        answer = ask([*PINNED.values(), Pinned("a", "2.0")], tmp_path / "cache", address)
    assert answer.packages == ("a==1.0", "a==2.0", "b==1.5")
    assert [(one.package, one.version, one.names) for one in answer.findings] == [
        ("b", "1.5", ("GHSA-3",)),
        ("a", "2.0", ("GHSA-2",)),
    ]


def test_a_finding_without_a_cure_says_so() -> None:
    assert "mended in no version" in str(Finding("a", "1", ("X",), (), "it leaks"))


def test_policy_of_the_project_has_nothing_that_is_over() -> None:
    assert [one.id for one in read_policy().vulnerabilities if one.expires < date.today()] == []  # noqa: DTZ011

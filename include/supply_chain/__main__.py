"""``python -m include.supply_chain audit|sbom|licences``: what the Makefile calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from include.errors import NoriaError
from include.settings import Settings
from include.supply_chain import audit
from include.supply_chain.bill_of_materials import write_bills
from include.supply_chain.licences import PAGE, find_licences, page, page_is_fresh, superfluous, unacceptable
from include.supply_chain.locks import Pinned, all_pinned, project_version
from include.supply_chain.policy import POLICY, Licences, Policy, read_policy


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if all is well, else the error's exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except NoriaError as error:
        print(f"✗ {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.supply_chain", description=__doc__)
    parser.add_argument("--policy", type=Path, default=POLICY, help="what is accepted (default: %(default)s)")
    commands = parser.add_subparsers(required=True)
    asking = commands.add_parser("audit", help="known vulnerabilities of the locked packages")
    asking.add_argument("--service", help="address of an OSV service's query (default: pip-audit's own)")
    asking.set_defaults(command=_audit)
    bills = commands.add_parser("sbom", help="bills of materials of the project and of the images")
    bills.add_argument("names", nargs="*", help="noria or an image's name (default: all)")
    bills.add_argument("--folder", type=Path, help="where to write them (default: sbom below NORIA_HOME)")
    bills.set_defaults(command=_sbom)
    licences = commands.add_parser("licences", help="the page of the packages' licences")
    licences.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    licences.set_defaults(command=_licences)
    return parser


def _audit(options: argparse.Namespace) -> int:
    policy = read_policy(options.policy)
    audit.refuse_expired(policy.vulnerabilities, datetime.now(UTC).date())
    packages = list(all_pinned().values())
    home = Settings.from_environment().home
    last = home / "audit.json"
    try:
        answer = audit.ask(packages, home / "cache" / "pip-audit", options.service)
    except audit.Unreachable as error:
        print(f"{error} {_what_is_kept(audit.kept(last), policy, packages)}")
        return 0
    audit.keep(answer, last)
    for one in audit.idle(answer, policy.vulnerabilities):
        print(f"{one.id} in {one.package} is not found any more: take it out of {POLICY.name}.")
    if findings := audit.unaccepted(answer, policy.vulnerabilities, packages):
        raise audit.VulnerablePackages(findings)
    print(
        f"{len(answer.packages)} locked packages, {len(answer.findings)} known vulnerabilities, all of them accepted."
    )
    return 0


def _what_is_kept(answer: audit.Answer | None, policy: Policy, packages: list[Pinned]) -> str:
    if answer is None:
        return "No answer of an earlier day is kept, so nothing is known of the locked packages."
    new = {f"{one.name}=={one.version}" for one in packages} - set(answer.packages)
    findings = audit.unaccepted(answer, policy.vulnerabilities, packages)
    known = "".join(f" {finding}." for finding in findings) or " It knows nothing against the others."
    return f"Its last answer is of {answer.asked:%Y-%m-%d}; {len(new)} of {len(packages)} packages are newer.{known}"


def _sbom(options: argparse.Namespace) -> int:
    folder = options.folder or Settings.from_environment().home / "sbom"
    for path in write_bills(folder, read_policy(options.policy).licences, project_version(), options.names):
        print(path)
    return 0


def _licences(options: argparse.Namespace) -> int:
    policy = read_policy(options.policy).licences
    if options.check:
        return _check(policy)
    PAGE.write_text(page(policy), encoding="utf-8")
    print(f"{PAGE} is written.")
    return _check(policy)


def _check(policy: Licences) -> int:
    known = find_licences(policy, (name for name, _ in all_pinned()))
    said = [str(one) for one in unacceptable(policy, known)]
    said += [f"No lock has {name}: take it out of {POLICY.name}." for name in superfluous(policy, known)]
    if not page_is_fresh(policy):
        said.append(f"{PAGE.name} is stale: run `make licences`.")
    for text in said:
        print(f"✗ {text}", file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())

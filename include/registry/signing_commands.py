"""The commands about signatures: ``python -m include.registry keygen|sign|verify``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from include.errors import Refused
from include.registry.erasures import irreproducible, irreproducible_versions
from include.registry.signing_keys import PRIVATE_FILE, PUBLIC_FILE, make_pair
from include.registry.signing_versions import Outcome, models_with_versions, sign_versions, verify_versions
from include.settings import SIGNING_KEY, TRUSTED_KEYS, Settings

SIGNING: Final = frozenset({"keygen", "sign", "verify"})
"""The commands that are run here."""


class NotAllTrusted(Refused):
    """Some versions are not trusted; they were listed."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        refused = [f"{one.version.model} version {one.version.version}" for one in outcomes]
        super().__init__(f"Not trusted: {', '.join(refused)}. The lines above say why and what to do.")


def add_signing(commands: Any) -> None:
    """Add the commands to the registry's own."""
    summary = f"Make a pair of keys: {PRIVATE_FILE}, which signs, and {PUBLIC_FILE}, by which versions are believed."
    keygen = commands.add_parser("keygen", help=summary, description=summary)
    keygen.add_argument("folder", type=Path)
    summary = "Sign versions that were registered without a key, each after its artifact was held against its digest."
    sign = commands.add_parser("sign", help=summary, description=summary)
    sign.add_argument("--again", action="store_true", help="also what another believed key has signed")
    summary = "Hold each version against its signature, and its artifact in MLflow against its digest."
    verify = commands.add_parser("verify", help=summary, description=summary)
    for command in (sign, verify):
        command.add_argument("model", nargs="?", help="default: all models")


def run_signing(settings: Settings, options: argparse.Namespace) -> list[str]:
    """Run one of them; lines of versions are printed as they come.

    :raises NotAllTrusted: a version was refused.
    """
    if options.command == "keygen":
        name = make_pair(options.folder)
        return [
            f"The key {name} is in {options.folder}.",
            f"{SIGNING_KEY}={options.folder / PRIVATE_FILE}    for the step register; keep a copy in a safe place",
            f"{TRUSTED_KEYS}={options.folder / PUBLIC_FILE}    for the server and all steps",
        ]
    outcomes: list[Outcome] = []
    for model in [options.model] if options.model else models_with_versions(settings):
        found = (
            sign_versions(settings, model, again=options.again)
            if options.command == "sign"
            else verify_versions(settings, model)
        )
        for outcome in found:
            print(_line(outcome), flush=True)
            outcomes.append(outcome)
    if options.command == "verify":
        _print_irreproducible(settings, {outcome.version.model for outcome in outcomes})
    refused = [outcome for outcome in outcomes if outcome.state == "refused"]
    if refused:
        raise NotAllTrusted(refused)
    return [f"{len(outcomes)} versions, all trusted."]


def _line(outcome: Outcome) -> str:
    version = outcome.version
    name = f"{version.model} {version.version}"
    if outcome.problem is not None:
        return f"{name:32}  refused  {outcome.problem}"
    return f"{name:32}  {outcome.state:7}  by {version.signer}"


def _print_irreproducible(settings: Settings, models: Iterable[str]) -> None:
    for model in sorted(models):
        for version, erasure in sorted(irreproducible_versions(settings, model).items()):
            print(f"{model}: {irreproducible(version, erasure)}", flush=True)

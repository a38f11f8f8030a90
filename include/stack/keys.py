"""The local stack's own keys of signed versions, made once in ``<home>/signing``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from include.registry.signing_keys import PRIVATE_FILE, PUBLIC_FILE, make_pair
from include.registry.signing_versions import models_with_versions, sign_versions
from include.settings import Settings

_FOLDER: Final = "signing"
_SIGNED: Final = "earlier-versions-signed"
"""Empty file: what was registered before there was a key has been signed. It is done once, not at each start."""


def with_keys(settings: Settings) -> Settings:
    """The settings with the stack's keys, unless they name keys already."""
    if settings.signing_key is not None or settings.trusted_keys is not None:
        return settings
    folder = settings.home / _FOLDER
    return replace(settings, signing_key=str(folder / PRIVATE_FILE), trusted_keys=str(folder / PUBLIC_FILE))


def ensure_keys(settings: Settings) -> None:
    """Make the keys that the settings name if they are the stack's own; the folder appears whole or not at all."""
    folder = settings.home / _FOLDER
    if settings.signing_key != str(folder / PRIVATE_FILE) or folder.exists():
        return
    part = settings.home / f".{_FOLDER}-part"
    shutil.rmtree(part, ignore_errors=True)
    make_pair(part)
    os.rename(part, folder)


def sign_earlier_versions(settings: Settings, say: Callable[[str], None]) -> None:
    """Sign what was registered before there was a key, once in the life of a home; needs database and MLflow.

    A version whose artifact is not what was registered stays unsigned, and is named.
    """
    done = settings.home / _FOLDER / _SIGNED
    if settings.signing_key != str(done.with_name(PRIVATE_FILE)) or done.exists():
        return
    for model in models_with_versions(settings):
        outcomes = list(sign_versions(settings, model))
        signed = [str(one.version.version) for one in outcomes if one.state == "signed"]
        if signed:
            say(f"Signed the versions of {model} from before there was a key: {', '.join(signed)}")
        for one in outcomes:
            if one.problem is not None:
                say(f"{model} version {one.version.version} is not signed and will not be served: {one.problem}")
    done.touch()

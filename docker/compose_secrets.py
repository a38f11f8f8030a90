"""Makes the secrets of the compose stack, once, in volumes that only its services see.

``python compose_secrets.py <folder> <folder of the signing key> <user id>``: PostgreSQL's password and the same as
libpq's passfile, Airflow's keys, and the pair of keys of signed versions. What is there is kept; nothing is printed.
"""

import base64
import os
import secrets
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def main(folder: Path, signing: Path, user: int) -> None:
    """Make what is missing, readable for the services' user; PostgreSQL's own user reads the password."""
    password = keep(folder / "postgres-password", secrets.token_urlsafe(32), 0o444, user)
    keep(folder / "pgpass", f"*:*:*:*:{password}\n", 0o400, user)
    keep(folder / "fernet-key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(), 0o400, user)
    keep(folder / "session-key", secrets.token_urlsafe(32), 0o400, user)
    keep(folder / "jwt-key", secrets.token_urlsafe(64), 0o400, user)
    key = keep(signing / "key", signing_key(), 0o400, user)
    keep(folder / "trusted-keys", public_half(key), 0o444, user)


def signing_key() -> str:
    """A new private key in PEM."""
    form = serialization.PrivateFormat.PKCS8
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_half(key: str) -> str:
    """The public key in PEM of a private one."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = serialization.load_pem_private_key(key.encode(), password=None).public_key()
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


def keep(path: Path, text: str, mode: int, user: int) -> str:
    """The file's content; it is written first, whole or not at all, if it is not there."""
    if not path.exists():
        part = path.with_name(f".{path.name}")
        part.write_text(text, encoding="utf-8")
        part.chmod(mode)
        os.chown(part, user, user)
        part.replace(path)
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))

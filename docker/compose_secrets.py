"""Makes the secrets of the compose stack, once, in a volume that only its services see.

``python compose_secrets.py <folder> <user id>``: PostgreSQL's password and the same as libpq's passfile, and Airflow's
keys. What is there is kept. Standard library only; nothing is printed.
"""

import base64
import os
import secrets
import sys
from pathlib import Path


def main(folder: Path, user: int) -> None:
    """Make what is missing, readable for the services' user; PostgreSQL's own user reads the password."""
    password = keep(folder / "postgres-password", secrets.token_urlsafe(32), 0o444, user)
    keep(folder / "pgpass", f"*:*:*:*:{password}\n", 0o400, user)
    keep(folder / "fernet-key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(), 0o400, user)
    keep(folder / "session-key", secrets.token_urlsafe(32), 0o400, user)
    keep(folder / "jwt-key", secrets.token_urlsafe(64), 0o400, user)


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
    main(Path(sys.argv[1]), int(sys.argv[2]))

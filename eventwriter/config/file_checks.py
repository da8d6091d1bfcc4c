"""Files that the settings name: can they be read, and by too many? Looked at when a daemon starts, not to show them."""

import os
import stat
from collections.abc import Mapping

from eventwriter.config import libpq
from eventwriter.config.errors import Path, named
from eventwriter.config.settings import Settings

_FILES: tuple[Path, ...] = (
    ("nats", "creds_file"),
    ("nats", "nkey_seed_file"),
    ("nats", "password_file"),
    ("nats", "token_file"),
    ("nats", "tls", "ca_file"),
    ("nats", "tls", "cert_file"),
    ("nats", "tls", "key_file"),
    ("postgres", "password_file"),
    ("postgres", "sslrootcert"),
    ("postgres", "sslcert"),
    ("postgres", "sslkey"),
)
_SECRETS: tuple[Path, ...] = (
    ("nats", "creds_file"),
    ("nats", "nkey_seed_file"),
    ("nats", "password_file"),
    ("nats", "token_file"),
    ("nats", "tls", "key_file"),
    ("postgres", "password_file"),
    ("postgres", "sslkey"),
    ("http", "token_file"),
    ("http", "key_file"),
)
_WRITTEN_OUT: tuple[Path, ...] = (("nats", "password"), ("nats", "token"), ("postgres", "password"))
_DSN: Path = ("postgres", "dsn")
_SYSTEM = "system"
"""libpq's word for the system's authorities, in the place of a file."""


def unreadable(settings: Settings, names: Mapping[Path, str]) -> list[str]:
    """
    Return a sentence for every file that is named and cannot be read.

    Args:
        settings: What names them.
        names: What to call a key path, where it was not written under its own name.
    """
    said = []
    for path in _FILES:
        file = _value(settings, path)
        if file is not None and file != _SYSTEM and (wrong := _wrong(file)):
            said.append(f"{named(path, names)}: {file}: {wrong}; check the path and its permissions")
    tls = settings.nats.tls
    if tls and tls.cert_file and not tls.key_file and not _wrong(tls.cert_file) and not _holds_key(tls.cert_file):
        path = ("nats", "tls", "cert_file")
        said.append(f"{named(path, names)}: {tls.cert_file}: holds no private key; set nats.tls.key_file")
    return said


def open_to_all(settings: Settings, source: str | None, names: Mapping[Path, str]) -> list[str]:
    """
    Return a warning for every file with a secret that everybody on this machine may read.

    Args:
        settings: What names them.
        source: The configuration file; counts where a secret is written in it, not only in the environment.
        names: What to call a key path, where it was not written under its own name; from the environment, a variable.
    """
    said = []
    for path in _SECRETS:
        file = _value(settings, path)
        if file is not None and _others_read(file):
            said.append(f"{named(path, names)}: {file} may be read by everybody; chmod o-rwx {file}")
    if source is not None and _others_read(source):
        within = [named(path, names) for path in _WRITTEN_OUT if _value(settings, path)]
        dsn = settings.postgres.dsn
        within += [named(_DSN, names)] if dsn and libpq.read(dsn.get_secret_value()).get("password") else []
        within += ["nats.servers"] if any("@" in url for url in settings.nats.servers) else []
        if keys := [key for key in within if not key.isupper()]:  # a variable's value is not in the file
            said.append(
                f"{source} holds a secret ({', '.join(keys)}) and may be read by everybody; chmod o-rwx {source},"
                " or put the secret into a file of its own"
            )
    return said


def _others_read(file: str) -> bool:
    try:
        return bool(os.stat(file).st_mode & stat.S_IROTH)
    except OSError:
        return False


def _value(settings: Settings, path: Path) -> str | None:
    found: object = settings
    for key in path:
        found = getattr(found, str(key), None)
    return str(found) if found is not None else None


def _wrong(file: str) -> str | None:
    try:
        with open(file, "rb") as opened:
            return None if opened.read(1) else "is empty"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _holds_key(file: str) -> bool:
    with open(file, "rb") as opened:
        return b"PRIVATE KEY-----" in opened.read()

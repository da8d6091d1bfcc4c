"""Checks of the files that settings name: readable, and secret. They run when a daemon starts."""

import os
import stat
from collections.abc import Mapping

from eventwriter.config import libpq
from eventwriter.config.errors import Path, SettingError, key_name
from eventwriter.config.settings import Settings
from eventwriter.config.settings.fields import display_path

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
_SECRET_FILES: tuple[Path, ...] = (
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
_SECRET_VALUES: tuple[Path, ...] = (("nats", "password"), ("nats", "token"), ("postgres", "password"))
_DSN: Path = ("postgres", "dsn")
_SYSTEM = "system"
"""libpq's value for the system's authorities, instead of a file."""


def unreadable_files(settings: Settings, names: Mapping[Path, str]) -> list[SettingError]:
    """
    Return an error for every file that cannot be read.

    Args:
        settings: The settings that name the files.
        names: Names of key paths that were written differently.
    """
    errors = []
    for path in _FILES:
        file = _value(settings, path)
        if file is not None and file != _SYSTEM and (reason := _unreadable(file)):
            shown = display_path(file) if path in _SECRET_FILES else file
            message = f"{shown} {reason}; check the path and its permissions"
            errors.append(SettingError(key_name(path, names), "unreadable", message))
    tls = settings.nats.tls
    if tls and tls.cert_file and not tls.key_file and not _unreadable(tls.cert_file) and not _holds_key(tls.cert_file):
        key = key_name(("nats", "tls", "cert_file"), names)
        message = f"{tls.cert_file} contains no private key; set nats.tls.key_file"
        errors.append(SettingError(key, "missing", message))
    return errors


def exposed_secrets(settings: Settings, source: str | None, names: Mapping[Path, str]) -> list[str]:
    """
    Return a warning for every file with a secret that all users of the machine can read.

    Args:
        settings: The settings that name the files.
        source: The configuration file; it counts if a secret is written in it.
        names: Names of key paths that were written differently; those from the environment are variables.
    """
    warnings = []
    for path in _SECRET_FILES:
        file = _value(settings, path)
        if file is not None and _is_world_readable(file):
            warnings.append(f"{key_name(path, names)}: every user can read {file}; run chmod o-rwx {file}")
    if source is not None and _is_world_readable(source):
        keys = [key_name(path, names) for path in _SECRET_VALUES if _value(settings, path)]
        dsn = settings.postgres.dsn
        keys += [key_name(_DSN, names)] if dsn and libpq.parse(dsn.get_secret_value()).get("password") else []
        keys += ["nats.servers"] if any("@" in url for url in settings.nats.servers) else []
        if keys := [key for key in keys if not key.isupper()]:  # a variable's value is not in the file
            warnings.append(
                f"{source} contains a secret ({', '.join(keys)}) and every user can read it; run chmod o-rwx {source},"
                " or move the secret to a file of its own"
            )
    return warnings


def _is_world_readable(file: str) -> bool:
    try:
        return bool(os.stat(file).st_mode & stat.S_IROTH)
    except OSError:
        return False


def _value(settings: Settings, path: Path) -> str | None:
    value: object = settings
    for key in path:
        value = getattr(value, str(key), None)
    return str(value) if value is not None else None


def _unreadable(file: str) -> str | None:
    """Return why a file cannot be used, as the end of a sentence; None if it can."""
    try:
        with open(file, "rb") as opened:
            return None if opened.read(1) else "is empty"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _holds_key(file: str) -> bool:
    with open(file, "rb") as opened:
        return b"PRIVATE KEY-----" in opened.read()

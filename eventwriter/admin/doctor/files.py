"""Checks of files that settings name: when certificates and logins end, who may read secrets; no server is asked."""

import datetime as dt
import os
import stat
from collections.abc import Iterable

from eventwriter.admin.doctor.certificate import WARN_DAYS, days_left, in_pem, jwt_end
from eventwriter.admin.doctor.context import Case
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.config.settings import Settings
from eventwriter.errors import Fatal
from eventwriter.jetstream.login import read_creds

_GROUP = "files"


def checks(case: Case) -> list[Check]:
    """Return the checks in order."""
    settings = case.settings

    async def certificates(voice: Reporter) -> Iterable[Finding]:
        now = dt.datetime.now(dt.UTC)
        named = certificate_files(settings)
        found = [certificate(voice, key, path, authorities, now) for key, path, authorities in named]
        return found or [voice.skip("the settings name none")]

    async def login(voice: Reporter) -> Iterable[Finding]:
        if not settings.nats.creds_file:
            return [voice.skip("nats.creds_file is not set")]
        return [creds(voice, settings.nats.creds_file, dt.datetime.now(dt.UTC))]

    async def secrets(voice: Reporter) -> Iterable[Finding]:
        named = secret_files(settings)
        return [one for key, path in named if (one := readable(voice, key, path))] or [
            voice.ok("no file with a secret is open to everybody") if named else voice.skip("the settings name none")
        ]

    return [
        Check(_GROUP, "certificates", certificates),
        Check(_GROUP, "creds", login),
        Check(_GROUP, "secrets", secrets),
    ]


def certificate_files(settings: Settings) -> list[tuple[str, str, bool]]:
    """Return the files of certificates: key path, file, and whether it holds authorities."""
    tls, postgres = settings.nats.tls, settings.postgres
    named = [
        ("nats.tls.ca_file", tls and tls.ca_file, True),
        ("nats.tls.cert_file", tls and tls.cert_file, False),
        ("postgres.sslrootcert", postgres.sslrootcert, True),
        ("postgres.sslcert", postgres.sslcert, False),
    ]
    return [(key, path, authorities) for key, path, authorities in named if path and path != "system"]


def secret_files(settings: Settings) -> list[tuple[str, str]]:
    """Return the files of secrets: key path and file."""
    nats, postgres = settings.nats, settings.postgres
    named = [
        ("nats.creds_file", nats.creds_file),
        ("nats.nkey_seed_file", nats.nkey_seed_file),
        ("nats.password_file", nats.password_file),
        ("nats.token_file", nats.token_file),
        ("nats.tls.key_file", nats.tls and (nats.tls.key_file or nats.tls.cert_file)),
        ("postgres.password_file", postgres.password_file),
        ("postgres.sslkey", postgres.sslkey),
    ]
    return [(key, path) for key, path in named if path]


def certificate(voice: Reporter, key: str, path: str, authorities: bool, now: dt.datetime) -> Finding:
    """Say when the certificates of a file end; of several authorities it is enough that one lives."""
    try:
        with open(path, "rb") as file:
            ends = in_pem(file.read())
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        return voice.fail(f"{key}: {path}: {text}", "give a PEM file that this user may read")
    if not ends:
        return voice.fail(f"{key}: {path} holds no certificate", "give a PEM file with one")
    return ending(voice, f"{key}: {path}", max(ends) if authorities else min(ends), now)


def creds(voice: Reporter, path: str, now: dt.datetime) -> Finding:
    """Say when the login of a .creds file ends."""
    try:
        end = jwt_end(read_creds(path)[0])
    except (Fatal, ValueError) as error:
        return voice.fail(str(error), "make the file anew, for example with nsc generate creds")
    if end is None:
        return voice.ok(f"{path}: the login does not end")
    return ending(voice, path, end, now)


def ending(voice: Reporter, what: str, end: dt.datetime, now: dt.datetime) -> Finding:
    """Say when something ends: a failure when it has, a warning in the last days."""
    left, day = days_left(end, now), f"{end:%Y-%m-%d %H:%M} UTC"
    if left <= 0:
        return voice.fail(f"{what}: ended {day}", "put a new one in its place; it is read anew at the next connect")
    if left < WARN_DAYS:
        return voice.warn(f"{what}: ends {day}, in {left:.1f} days", "renew it; it is read anew at the next connect")
    return voice.ok(f"{what}: until {day}")


def readable(voice: Reporter, key: str, path: str) -> Finding | None:
    """Say where a secret may be read by everybody."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError as error:
        return voice.fail(f"{key}: {path}: {error.strerror}", "check the path, and that this user may read it")
    if mode & stat.S_IROTH:
        return voice.warn(f"{key}: {path} may be read by everybody (mode {mode:04o})", f"chmod o-rwx {path}")
    return None

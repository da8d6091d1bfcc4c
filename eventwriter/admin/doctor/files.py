"""Checks of the files in the settings: expiry of certificates and logins, permissions of secrets."""

import datetime as dt
import os
import stat
from collections.abc import Iterable

from eventwriter.admin.doctor.certificate import WARN_DAYS, days_left, expiries_in_pem, jwt_expiry
from eventwriter.admin.doctor.context import Context
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.config.settings import Settings
from eventwriter.errors import Fatal
from eventwriter.jetstream.login import read_creds

_GROUP = "files"


def checks(context: Context) -> list[Check]:
    """Return the checks of files in order."""
    settings = context.settings

    async def certificates(report: Reporter) -> Iterable[Finding]:
        now = dt.datetime.now(dt.UTC)
        files = certificate_files(settings)
        found = [certificate(report, key, path, authorities, now) for key, path, authorities in files]
        return found or [report.skip("no certificates are configured")]

    async def login(report: Reporter) -> Iterable[Finding]:
        if not settings.nats.creds_file:
            return [report.skip("nats.creds_file is not set")]
        return [creds(report, settings.nats.creds_file, dt.datetime.now(dt.UTC))]

    async def secrets(report: Reporter) -> Iterable[Finding]:
        files = secret_files(settings)
        return [finding for key, path in files if (finding := readable(report, key, path))] or [
            report.ok("no file with a secret is readable by all users")
            if files
            else report.skip("no files with secrets are configured")
        ]

    return [
        Check(_GROUP, "certificates", certificates),
        Check(_GROUP, "creds", login),
        Check(_GROUP, "secrets", secrets),
    ]


def certificate_files(settings: Settings) -> list[tuple[str, str, bool]]:
    """Return the certificate files: setting, path, and whether the file holds certificate authorities."""
    tls, postgres = settings.nats.tls, settings.postgres
    files = [
        ("nats.tls.ca_file", tls and tls.ca_file, True),
        ("nats.tls.cert_file", tls and tls.cert_file, False),
        ("postgres.sslrootcert", postgres.sslrootcert, True),
        ("postgres.sslcert", postgres.sslcert, False),
    ]
    return [(key, path, authorities) for key, path, authorities in files if path and path != "system"]


def secret_files(settings: Settings) -> list[tuple[str, str]]:
    """Return the files with secrets: setting and path."""
    nats, postgres = settings.nats, settings.postgres
    files = [
        ("nats.creds_file", nats.creds_file),
        ("nats.nkey_seed_file", nats.nkey_seed_file),
        ("nats.password_file", nats.password_file),
        ("nats.token_file", nats.token_file),
        ("nats.tls.key_file", nats.tls and (nats.tls.key_file or nats.tls.cert_file)),
        ("postgres.password_file", postgres.password_file),
        ("postgres.sslkey", postgres.sslkey),
    ]
    return [(key, path) for key, path in files if path]


def certificate(report: Reporter, key: str, path: str, authorities: bool, now: dt.datetime) -> Finding:
    """Check when the certificates of a file expire; of several authorities, one valid one is enough."""
    try:
        with open(path, "rb") as file:
            ends = expiries_in_pem(file.read())
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        return report.fail(f"{key}: {path}: {text}", "give a PEM file that this user can read")
    if not ends:
        return report.fail(f"{key}: {path} contains no certificate", "give a PEM file with a certificate")
    return expiry(report, f"{key}: {path}", max(ends) if authorities else min(ends), now)


def creds(report: Reporter, path: str, now: dt.datetime) -> Finding:
    """Check when the login of a .creds file expires."""
    try:
        end = jwt_expiry(read_creds(path)[0])
    except (Fatal, ValueError) as error:
        return report.fail(str(error), "create the file again, for example with nsc generate creds")
    if end is None:
        return report.ok(f"{path}: the login does not expire")
    return expiry(report, path, end, now)


def expiry(report: Reporter, what: str, end: dt.datetime, now: dt.datetime) -> Finding:
    """Check when something expires: a failure if it has expired, a warning in the last days."""
    left, day = days_left(end, now), f"{end:%Y-%m-%d %H:%M} UTC"
    if left <= 0:
        return report.fail(f"{what}: expired {day}", "replace the file; it is read at the next connect")
    if left < WARN_DAYS:
        return report.warn(
            f"{what}: expires {day}, in {left:.1f} days", "renew it; the file is read at the next connect"
        )
    return report.ok(f"{what}: valid until {day}")


def readable(report: Reporter, key: str, path: str) -> Finding | None:
    """Check whether a secret is readable by all users."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError as error:
        return report.fail(f"{key}: {path}: {error.strerror}", "check the path and the permissions of the file")
    if mode & stat.S_IROTH:
        return report.warn(f"{key}: {path} is readable by all users (mode {mode:04o})", f"chmod o-rwx {path}")
    return None

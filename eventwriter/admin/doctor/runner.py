"""Runs all checks in order, over connections that are closed at the end."""

import asyncio
import os
from collections.abc import Iterable, Mapping

from eventwriter.admin.doctor import files, host, nats, network, postgres, slots, streams
from eventwriter.admin.doctor.context import create_context
from eventwriter.admin.doctor.findings import Check, Finding, Reporter, run_checks
from eventwriter.config import libpq
from eventwriter.config.load import Loaded, load
from eventwriter.errors import ConfigError, EventwriterError, Fatal
from eventwriter.kinds.registry import kind
from eventwriter.worker.table_binding import tables_of

_GROUP = "config"
_CONFIG = Reporter(_GROUP, "file")


def run(path: str | None, environ: Mapping[str, str]) -> list[Finding]:
    """Check everything that a daemon with this configuration needs."""
    try:
        loaded = load(path, environ, run_checks=lambda _settings: [])
    except ConfigError as error:
        source = error.source or "the environment"
        found = [_CONFIG.fail(f"{source}: {mistake}", "eventwriter config validate") for mistake in error.errors]
        return [*found, _CONFIG.skip("skipped: the configuration could not be loaded")]
    return [*configuration(loaded), *asyncio.run(_run_all(loaded))]


async def _run_all(loaded: Loaded) -> list[Finding]:
    context = create_context(loaded.settings)
    failed: set[str] = set()
    try:
        found = []
        for checks in (
            host.checks(context),
            files.checks(context),
            network.nats_checks(context),
            nats.checks(context),
            network.postgres_checks(context),
            postgres.checks(context),
            streams.checks(context),
            slots.checks(context),
        ):
            found += await run_checks([_guarded(check) for check in checks], failed)
        return found
    finally:
        await context.close()


def _guarded(check: Check) -> Check:
    """Return the check with its errors, such as a lost connection, reported as failures."""

    async def run(report: Reporter) -> Iterable[Finding]:
        try:
            return await check.run(report)
        except EventwriterError as error:
            return [report.error(error, "run doctor again, and see the earlier checks of that server")]

    return Check(check.group, check.name, run, check.needs)


def configuration(loaded: Loaded) -> list[Finding]:
    """Return the findings about the configuration itself."""
    settings = loaded.settings
    found = [_CONFIG.warn(warning, "see docs/configuration.md") for warning in loaded.warnings]
    if not settings.enabled:
        found.append(
            _CONFIG.warn(
                f"{loaded.source}: enabled is false, so the daemon exits immediately", "set EVENT_WRITER_ENABLED=true"
            )
        )
    if not settings.slots():
        found.append(_CONFIG.fail(f"{loaded.source}: no stream entry is enabled", "enable at least one entry"))
    if exposed(loaded):
        found.append(
            _CONFIG.warn(f"{loaded.source} holds a secret and is readable by all users", f"chmod o-rwx {loaded.source}")
        )
    kinds = Reporter(_GROUP, "kinds")
    unsupported = [kinds.fail(message, "see docs/kinds") for message in _kind_errors(loaded)]
    if not found:
        found = [
            _CONFIG.ok(f"{loaded.source}: {len(settings.streams)} stream entries, {len(settings.slots())} workers")
        ]
    return [*found, *(unsupported or [kinds.ok(", ".join(dict.fromkeys(entry.kind for entry in settings.streams)))])]


def exposed(loaded: Loaded) -> bool:
    """Return whether the file holds a secret and is readable by all users."""
    settings = loaded.settings
    secrets = (settings.postgres.password, settings.nats.password, settings.nats.token)
    held = any(secret is not None and secret.get_secret_value() for secret in secrets)
    dsn = settings.postgres.dsn
    held = held or (dsn is not None and "password" in libpq.parse(dsn.get_secret_value()))
    try:
        return held and bool(os.stat(loaded.source).st_mode & 0o004)
    except OSError:
        return False


def _kind_errors(loaded: Loaded) -> list[str]:
    errors = []
    for entry in loaded.settings.streams:
        try:
            found = kind(entry.kind)
            if found.any_table is None:
                tables_of(entry, found)
        except Fatal as error:
            errors.append(str(error))
    return errors

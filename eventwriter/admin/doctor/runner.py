"""The whole examination: every check in its order, over connections that are closed at the end."""

import asyncio
import os
from collections.abc import Iterable, Mapping

from eventwriter.admin.doctor import files, host, nats, network, postgres, slots, streams
from eventwriter.admin.doctor.context import case_of
from eventwriter.admin.doctor.findings import Check, Finding, Reporter, examine
from eventwriter.config import libpq
from eventwriter.config.load import Loaded, load
from eventwriter.errors import ConfigError, EventwriterError, Fatal
from eventwriter.kinds.registry import kind
from eventwriter.worker.table_binding import tables_of

_GROUP = "config"
_CONFIG = Reporter(_GROUP, "file")


def run(path: str | None, environ: Mapping[str, str]) -> list[Finding]:
    """Examine everything that the daemon of this configuration needs."""
    try:
        loaded = load(path, environ, check_files=True)
    except ConfigError as error:
        source = error.source or "the environment"
        found = [_CONFIG.fail(f"{source}: {mistake}", "eventwriter config validate") for mistake in error.errors]
        return [*found, _CONFIG.skip("all that needs it is not looked at, because of config: file")]
    return [*configuration(loaded), *asyncio.run(_examined(loaded))]


async def _examined(loaded: Loaded) -> list[Finding]:
    case = case_of(loaded.settings)
    failed: set[str] = set()
    try:
        found = []
        for checks in (
            host.checks(case),
            files.checks(case),
            network.nats_checks(case),
            nats.checks(case),
            network.postgres_checks(case),
            postgres.checks(case),
            streams.checks(case),
            slots.checks(case),
        ):
            found += await examine([_careful(check) for check in checks], failed)
        return found
    finally:
        await case.close()


def _careful(check: Check) -> Check:
    """Return the check with an error of ours, such as a server that goes away meanwhile, made into a failure."""

    async def look(voice: Reporter) -> Iterable[Finding]:
        try:
            return await check.look(voice)
        except EventwriterError as error:
            return [voice.fail(str(error), "run doctor again; see what the earlier checks say of that server")]

    return Check(check.group, check.name, look, check.needs)


def configuration(loaded: Loaded) -> list[Finding]:
    """Say what is to be said of the configuration itself."""
    settings = loaded.settings
    found = [_CONFIG.warn(warning, "see docs/configuration.md") for warning in loaded.warnings]
    if not settings.enabled:
        found.append(
            _CONFIG.warn(f"{loaded.source}: enabled is false: the daemon ends at once", "set EVENT_WRITER_ENABLED=true")
        )
    if not settings.slots():
        found.append(_CONFIG.fail(f"{loaded.source}: no entry of streams is enabled", "enable one"))
    if exposed(loaded):
        found.append(
            _CONFIG.warn(
                f"{loaded.source} holds a secret, and may be read by everybody", f"chmod o-rwx {loaded.source}"
            )
        )
    kinds = Reporter(_GROUP, "kinds")
    unfit = [kinds.fail(sentence, "see docs/kinds") for sentence in _unfit(loaded)]
    if not found:
        found = [_CONFIG.ok(f"{loaded.source}: {len(settings.streams)} entries, {len(settings.slots())} workers")]
    return [*found, *(unfit or [kinds.ok(", ".join(dict.fromkeys(entry.kind for entry in settings.streams)))])]


def exposed(loaded: Loaded) -> bool:
    """Whether the file has a secret in it and everybody may read it."""
    settings = loaded.settings
    secrets = (settings.postgres.password, settings.nats.password, settings.nats.token)
    held = any(secret is not None and secret.get_secret_value() for secret in secrets)
    dsn = settings.postgres.dsn
    held = held or (dsn is not None and "password" in libpq.parse(dsn.get_secret_value()))
    try:
        return held and bool(os.stat(loaded.source).st_mode & 0o004)
    except OSError:
        return False


def _unfit(loaded: Loaded) -> list[str]:
    said = []
    for entry in loaded.settings.streams:
        try:
            found = kind(entry.kind)
            if found.any_table is None:
                tables_of(entry, found)
        except Fatal as error:
            said.append(str(error))
    return said

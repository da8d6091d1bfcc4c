"""
`eventwriter migrate`: create missing tables and report what was done.

Exit codes: 0 done; 1 `--maintain` could not do everything and said why; 2 usage or configuration error, or a
rejected statement; 3 the server is unreachable or refused the login.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing

import click
from click.core import ParameterSource

from eventwriter import clock
from eventwriter.cli.output import echo, echo_code
from eventwriter.config.load import Loaded, load
from eventwriter.config.settings import PostgresSettings, Settings, StorageSettings
from eventwriter.errors import Fatal, Retryable
from eventwriter.postgres.connect import INVALID_DSN, settings_from_dsn
from eventwriter.postgres.migrate import runner
from eventwriter.postgres.migrate.files import time_columns
from eventwriter.postgres.migrate.plan import MigrateOptions, empty_database_script, first_schema
from eventwriter.postgres.migrate.runner import open_database
from eventwriter.postgres.partitions.executor import DryRunExecutor, Executor, Report, SessionExecutor
from eventwriter.postgres.partitions.maintain import Task, maintain
from eventwriter.postgres.session import PostgresSession

EXIT_UNDONE, EXIT_UNREACHABLE = 1, 3

MAINTAIN_ATTEMPTS = 5
"""Attempts at a statement while another session is in the way, before it is left to the next run."""


@click.command("migrate")
@click.option("--config", "config_path", metavar="FILE", help="Configuration file, as for `eventwriter --config`.")
@click.option("--dsn", metavar="DSN", help="Database to connect to. Default: as configured.")
@click.option(
    "--schema", metavar="NAME", help="Schema of the tables, created if missing. Default: the first of the search path."
)
@click.option("--plain", is_flag=True, help="Create ordinary tables without partitions or hypertables.")
@click.option("--chunk-interval", metavar="TIME", help="Time span of one hypertable chunk, such as '1 day'.")
@click.option(
    "--maintain",
    "maintains",
    is_flag=True,
    help="Create and drop partitions (or set policies) instead of creating tables.",
)
@click.option("--all", "all_tables", is_flag=True, help="Create the tables of all kinds, not only of configured ones.")
@click.option("--dry-run", is_flag=True, help="Print the SQL for psql and change nothing.")
def migrate(
    config_path: str | None,
    dsn: str | None,
    schema: str | None,
    plain: bool,
    chunk_interval: str | None,
    maintains: bool,
    all_tables: bool,
    dry_run: bool,
) -> int:
    """
    Create the ledger, the dead letters and the tables of the configured kinds, if they are missing.

    Existing tables of the same name are left unchanged. The command can be repeated, also concurrently.

    With --maintain, partitions of the tables are created ahead and dropped by retention instead, as configured by
    `storage`. Run it daily, or let the daemon do it (storage.maintain).
    """
    settings, configured, loaded = connection(config_path, dsn)
    tables = None if all_tables or maintains or loaded is None else configured_tables(loaded.settings)
    storage = StorageSettings() if loaded is None else loaded.settings.storage
    options = MigrateOptions(schema or configured, plain, chunk_interval, storage, tables)
    try:
        if maintains:
            return asyncio.run(maintain_tables(settings, options, dry_run))
        conn = open_database(settings)
    except Retryable as error:
        if maintains or not dry_run:
            raise
        echo(f"eventwriter: {error}; printing the SQL for an empty database", err=True)
        return show(empty_database_script(options, clock.utc_now()))
    except Fatal as error:
        if error.code == INVALID_DSN:
            raise
        # A refused login is not the caller's mistake, so it has the exit code of an unreachable server.
        echo(f"eventwriter: {error}", err=True)
        return EXIT_UNREACHABLE
    with closing(conn):
        run = runner.dry_run if dry_run else runner.migrate
        return show(run(conn, settings.target(), options))


async def maintain_tables(settings: PostgresSettings, options: MigrateOptions, dry_run: bool) -> int:
    """Maintain the tables once and return the exit code."""
    reports: list[Report] = []

    def on_report(report: Report) -> None:
        reports.append(report)
        echo(report.text)

    session = PostgresSession(settings)
    try:
        await session.connection()
        executor: Executor = (
            DryRunExecutor(session, echo_code) if dry_run else SessionExecutor(session, on_report, MAINTAIN_ATTEMPTS)
        )
        await maintain(Task(options.schema, time_columns(), options.storage, clock.utc_now()), executor)
    finally:
        await session.close()
    return EXIT_UNDONE if any(report.undone for report in reports) else 0


def connection(config_path: str | None, dsn: str | None) -> tuple[PostgresSettings, str | None, Loaded | None]:
    """
    Return the connection and the settings of the daemon.

    Returns:
        The settings of the connection, the first schema of the configured search path, and the configuration; with
        `dsn`, None unless the command line names its file.

    Raises:
        ConfigError: The configuration is invalid.
        Fatal: `dsn` is not a connection string.
    """
    if dsn is not None:
        # A default configuration file may be meant for another database, and its retention must not apply to this one.
        file_given = click.get_current_context().get_parameter_source("config_path") is ParameterSource.COMMANDLINE
        return settings_from_dsn(dsn), None, load(config_path, os.environ) if file_given else None
    loaded = load(config_path, os.environ)
    settings = loaded.settings
    schema = first_schema(settings.postgres.runtime_params.get("search_path", ""))
    return settings.postgres, schema, loaded


def configured_tables(settings: Settings) -> frozenset[str]:
    """Return the tables of all stream entries, including those that an entry names itself."""
    # Imported here because it loads nats-py.
    from eventwriter.kinds.registry import kind
    from eventwriter.worker.table_binding import tables_of

    return frozenset(table.name for stream in settings.streams for table in tables_of(stream, kind(stream.kind)))


def show(lines: Iterator[str]) -> int:
    """Print lines as they arrive and return the exit code."""
    for line in lines:
        echo_code(line)
    return 0

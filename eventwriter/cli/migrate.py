"""
`eventwriter migrate`: create missing tables and report what was done.

Exit codes: 0 done; 1 `--maintain` could not do everything and said why; 2 usage or configuration error, or a
rejected statement; 3 the server is unreachable or refused the login.
"""

import os
from collections.abc import Iterator
from contextlib import closing

import click
from click.core import ParameterSource

from eventwriter.config.load import load
from eventwriter.config.settings import StorageSettings
from eventwriter.errors import Fatal, Retryable
from eventwriter.postgres.migrate import runner as server
from eventwriter.postgres.migrate.plan import Wish, first_schema, without_server
from eventwriter.postgres.partitions import run as maintain_run
from eventwriter.postgres.partitions.maintain import maintain

EXIT_UNDONE, EXIT_UNREACHABLE = 1, 3


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
@click.option("--dry-run", is_flag=True, help="Print the SQL for psql and change nothing.")
def migrate(
    config_path: str | None,
    dsn: str | None,
    schema: str | None,
    plain: bool,
    chunk_interval: str | None,
    maintains: bool,
    dry_run: bool,
) -> int:
    """
    Create the tables that eventwriter writes, if they are missing.

    Existing tables of the same name are left unchanged. The command can be repeated, also concurrently.

    With --maintain, partitions of the tables are created ahead and dropped by retention instead, as configured by
    `storage`. Run it daily, or let the daemon do it (storage.maintain).
    """
    conninfo, target, configured, storage = connection(config_path, dsn)
    wish = Wish(schema or configured, plain, chunk_interval, storage)
    try:
        conn = server.open_database(conninfo, target)
    except Retryable as error:
        if maintains or not dry_run:
            raise
        click.echo(f"eventwriter: {error}; printing the SQL for an empty database", err=True)
        return show(without_server(wish, maintain_run.now()))
    except Fatal as error:
        # A refused login is not the caller's mistake, so it has the exit code of an unreachable server.
        click.echo(f"eventwriter: {error}", err=True)
        return EXIT_UNREACHABLE
    with closing(conn):
        if maintains:
            return maintain_tables(conn, target, wish, dry_run)
        return show(server.dry_run(conn, target, wish) if dry_run else server.migrate(conn, target, wish))


def maintain_tables(conn: server.Connection, target: str, wish: Wish, dry_run: bool) -> int:
    """Maintain the tables once and return the exit code."""
    task = maintain_run.task(wish.schema, wish.storage)
    if dry_run:
        return show(maintain_run.dry_run(conn, target, maintain(task)))
    undone = False
    for note in maintain_run.run(conn, target, maintain(task)):
        click.echo(note.text)
        undone = undone or note.undone
    return EXIT_UNDONE if undone else 0


def connection(config_path: str | None, dsn: str | None) -> tuple[str, str, str | None, StorageSettings]:
    """
    Return the connection parameters and storage settings.

    Returns:
        The libpq connection string, the display name of the server, the first schema of the configured search path,
        and the storage settings; with `dsn`, the latter are used only if the command line names a file.

    Raises:
        ConfigError: The configuration is invalid.
        Fatal: `dsn` is not a connection string, or the password file cannot be read.
    """
    if dsn is not None:
        # A default configuration file may be meant for another database, and its retention must not apply to this one.
        file_given = click.get_current_context().get_parameter_source("config_path") is ParameterSource.COMMANDLINE
        storage = load(config_path, os.environ).settings.storage if file_given else StorageSettings()
        return (*server.described(dsn), None, storage)
    loaded = load(config_path, os.environ).settings
    settings = loaded.postgres
    schema = first_schema(settings.runtime_params.get("search_path", ""))
    return settings.conninfo(), settings.target(), schema, loaded.storage


def show(lines: Iterator[str]) -> int:
    """Print lines as they arrive and return the exit code."""
    for line in lines:
        click.echo(line)
    return 0

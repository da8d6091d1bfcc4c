"""
`eventwriter migrate`: make the tables that are not there yet, and say what was done.

Exit codes: 0 done; 1 `--maintain` left something undone, and said why; 2 the operator's
mistake, or a statement that the server refuses; 3 the server cannot be reached, or
refuses the login.
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
@click.option(
    "--config", "config_path", metavar="FILE", help="As `eventwriter --config`; postgres and storage are read."
)
@click.option("--dsn", metavar="DSN", help="Connect with this instead of what the configuration says.")
@click.option("--schema", metavar="NAME", help="Where tables go; made if missing. Default: the search path's first.")
@click.option("--plain", is_flag=True, help="Ordinary tables: no partitions, no hypertables.")
@click.option("--chunk-interval", metavar="TIME", help="Time that one hypertable chunk spans, like '1 day'.")
@click.option("--maintain", "maintains", is_flag=True, help="Make and drop partitions (or set policies), no tables.")
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
    Make the tables that eventwriter writes, where they are missing.

    A table of the same name that is there already is left as it is. May be run as
    often as one likes, by several at once.

    With --maintain the tables that were made so are looked after instead: partitions
    are made ahead and dropped by retention, as `storage` in the configuration says.
    Run it every day, or let the daemon do it (storage.maintain).
    """
    conninfo, target, configured, storage = connection(config_path, dsn)
    wish = Wish(schema or configured, plain, chunk_interval, storage)
    try:
        conn = server.open_database(conninfo, target)
    except Retryable as error:
        if maintains or not dry_run:
            raise
        click.echo(f"eventwriter: {error}; so this is the SQL for an empty database", err=True)
        return show(without_server(wish, maintain_run.now()))
    except Fatal as error:
        # Another family of exit code than a mistake: the login is the server's to grant.
        click.echo(f"eventwriter: {error}", err=True)
        return EXIT_UNREACHABLE
    with closing(conn):
        if maintains:
            return look_after(conn, target, wish, dry_run)
        return show(server.dry_run(conn, target, wish) if dry_run else server.migrate(conn, target, wish))


def look_after(conn: server.Connection, target: str, wish: Wish, dry_run: bool) -> int:
    """Look after the tables once; returns the exit code."""
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
    Find out where to connect.

    Returns:
        libpq's connection string, what to call the server, the schema that the configuration names first, and how
        tables are looked after: as the configuration says, and beside `dsn` only if the command line names its file.

    Raises:
        ConfigError: The configuration cannot be used.
        Fatal: `dsn` is no connection string, or the password file cannot be read.
    """
    if dsn is not None:
        # A file that was merely found may be meant for another database, and say what to drop there.
        named = click.get_current_context().get_parameter_source("config_path") is ParameterSource.COMMANDLINE
        storage = load(config_path, os.environ).settings.storage if named else StorageSettings()
        return (*server.described(dsn), None, storage)
    loaded = load(config_path, os.environ).settings
    settings = loaded.postgres
    schema = first_schema(settings.runtime_params.get("search_path", ""))
    return settings.conninfo(), settings.target(), schema, loaded.storage


def show(lines: Iterator[str]) -> int:
    """Print lines as they come; returns the exit code."""
    for line in lines:
        click.echo(line)
    return 0

"""
`eventwriter migrate`: make the tables that are not there yet, and say what was done.

Exit codes: 0 done; 2 the operator's mistake, or a statement that the server refuses;
3 the server cannot be reached, or refuses the login.
"""

import os
from collections.abc import Iterator
from contextlib import closing

import click

from eventwriter.config.load import load
from eventwriter.errors import Fatal, Retryable
from eventwriter.postgres import migrate as server
from eventwriter.postgres.migration_plan import Wish, first_schema, without_server

EXIT_UNREACHABLE = 3


@click.command("migrate")
@click.option("--config", "config_path", metavar="FILE", help="As `eventwriter --config`; only postgres is read.")
@click.option("--dsn", metavar="DSN", help="Connect with this instead of what the configuration says.")
@click.option("--schema", metavar="NAME", help="Where tables go; made if missing. Default: the search path's first.")
@click.option("--plain", is_flag=True, help="Plain tables, though TimescaleDB is there.")
@click.option("--chunk-interval", metavar="TIME", help="Time that one hypertable chunk spans, like '1 day'.")
@click.option("--dry-run", is_flag=True, help="Print the SQL for psql and change nothing.")
def migrate(
    config_path: str | None, dsn: str | None, schema: str | None, plain: bool, chunk_interval: str | None, dry_run: bool
) -> int:
    """
    Make the tables that eventwriter writes, where they are missing.

    A table of the same name that is there already is left as it is. May be run as
    often as one likes, by several at once.
    """
    conninfo, target, configured = connection(config_path, dsn)
    wish = Wish(schema or configured, plain, chunk_interval)
    try:
        conn = server.open_database(conninfo, target)
    except Retryable as error:
        if not dry_run:
            raise
        click.echo(f"eventwriter: {error}; so this is the SQL for an empty database", err=True)
        return show(without_server(wish))
    except Fatal as error:
        # Another family of exit code than a mistake: the login is the server's to grant.
        click.echo(f"eventwriter: {error}", err=True)
        return EXIT_UNREACHABLE
    with closing(conn):
        return show(server.dry_run(conn, target, wish) if dry_run else server.migrate(conn, target, wish))


def connection(config_path: str | None, dsn: str | None) -> tuple[str, str, str | None]:
    """
    Find out where to connect.

    Returns:
        libpq's connection string, what to call the server, and the schema that the configuration names first.

    Raises:
        ConfigError: The configuration cannot be used.
        Fatal: `dsn` is no connection string, or the password file cannot be read.
    """
    if dsn is not None:
        return (*server.described(dsn), None)
    settings = load(config_path, os.environ).settings.postgres
    return settings.conninfo(), settings.target(), first_schema(settings.runtime_params.get("search_path", ""))


def show(lines: Iterator[str]) -> int:
    """Print lines as they come; returns the exit code."""
    for line in lines:
        click.echo(line)
    return 0

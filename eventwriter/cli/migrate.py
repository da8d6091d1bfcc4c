"""
`eventwriter migrate`: make the tables that are not there yet, and say what was done.

Exit codes: 0 done; 2 the operator's mistake, or the server's refusal of a statement;
3 the server cannot be reached or refuses the login.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from typing import NoReturn

import click

from eventwriter.config.load import load
from eventwriter.errors import ConfigError, EventwriterError, Fatal, Retryable
from eventwriter.postgres import migrate as server
from eventwriter.postgres.migration_plan import Wish, first_schema, without_server

EXIT_MISTAKE = 2
EXIT_UNREACHABLE = 3


@click.command("migrate")
@click.option("--config", "config_path", metavar="FILE", help="The daemon's configuration; postgres is read from it.")
@click.option("--dsn", metavar="DSN", help="Connect with this instead of what the configuration says.")
@click.option("--schema", metavar="NAME", help="Where tables go; made if missing. Default: the search path's first.")
@click.option("--plain", is_flag=True, help="Plain tables, though TimescaleDB is there.")
@click.option("--chunk-interval", metavar="TIME", help="Time that one hypertable chunk spans, like '1 day'.")
@click.option("--dry-run", is_flag=True, help="Print the SQL for psql and change nothing.")
def migrate(
    config_path: str | None, dsn: str | None, schema: str | None, plain: bool, chunk_interval: str | None, dry_run: bool
) -> None:
    """Make the tables that eventwriter writes, where they are missing."""
    try:
        conninfo, target, configured = connection(config_path, dsn)
        wish = Wish(schema or configured, plain, chunk_interval)
    except (ConfigError, Fatal) as error:
        refuse(error, EXIT_MISTAKE)
    try:
        conn = server.open_database(conninfo, target)
    except Retryable as error:
        if not dry_run:
            refuse(error, EXIT_UNREACHABLE)
        click.echo(f"eventwriter migrate: {error}; this is the SQL for an empty database", err=True)
        show(without_server(wish))
        return
    except Fatal as error:
        refuse(error, EXIT_UNREACHABLE)
    try:
        with closing(conn):
            show(server.dry_run(conn, target, wish) if dry_run else server.migrate(conn, target, wish))
    except Retryable as error:
        refuse(error, EXIT_UNREACHABLE)
    except Fatal as error:
        refuse(error, EXIT_MISTAKE)


def connection(config_path: str | None, dsn: str | None) -> tuple[str, str, str | None]:
    """
    Find out where to connect.

    Returns:
        libpq's connection string, what to call the server, and the schema that the configuration names first.

    Raises:
        ConfigError: The configuration cannot be used.
        Fatal: `dsn` is no connection string.
    """
    if dsn is not None:
        return (*server.described(dsn), None)
    settings = load(config_path, os.environ).settings.postgres
    return settings.conninfo(), settings.target(), first_schema(settings.runtime_params.get("search_path", ""))


def show(lines: Iterator[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        click.echo(line)


def refuse(error: EventwriterError, code: int) -> NoReturn:
    """Say what is wrong and exit."""
    for sentence in str(error).splitlines():
        click.echo(f"eventwriter migrate: {sentence}", err=True)
    raise SystemExit(code)

"""
Warning for commands that connect to other servers than the running daemon does.

`eventwriter doctor` and `eventwriter-ctl verify`, `dlq` and `support-dump` load the caller's configuration and
environment, which in a plain shell may name other servers than those of the daemon.
"""

import os
from collections.abc import Mapping
from typing import Any

import click

from eventwriter.cli.ctl.common import socket_path
from eventwriter.cli.output import echo
from eventwriter.config import libpq
from eventwriter.config.describe import HIDDEN, effective
from eventwriter.config.settings import Settings
from eventwriter.control.client import Client
from eventwriter.errors import EventwriterError

ANSWER_S_MAX = 2.0  # longest delay of the command if the daemon hangs


def difference(ours: Mapping[str, Any], daemons: Mapping[str, Any]) -> str | None:
    """
    Return a sentence that states the difference; None if both settings name the same servers and streams. Pure.

    Two DSNs count as equal, because the daemon does not reveal its own, which may hold a password.

    Args:
        ours: Settings of the command, as `effective` returns them.
        daemons: Settings of the daemon, as its verb `config` returns them.
    """
    if identity(ours) == identity(daemons):
        return None
    details = f"its NATS {', '.join(nats_of(daemons))}, its PostgreSQL {postgres_of(daemons)}"
    if streams_of(ours) != streams_of(daemons):
        details += f", its streams {', '.join(name for name, _ in streams_of(daemons)) or 'none'}"
    return (
        f"these are not the settings of the running daemon ({details}); give --config and use the daemon's environment"
    )


def identity(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the servers, database and streams of settings for comparison."""
    return set(nats_of(settings)), postgres_of(settings), streams_of(settings)


def nats_of(settings: Mapping[str, Any]) -> list[str]:
    """Return the NATS servers without hidden credentials."""
    return [server.replace(f"{HIDDEN}@", "") for server in settings["nats"]["servers"]]


def postgres_of(settings: Mapping[str, Any]) -> str:
    """Return the PostgreSQL server; a DSN is not shown because it may hold a password."""
    postgres = settings["postgres"]
    if postgres["dsn"] is not None:
        return "as given by its postgres.dsn"
    parameters = {"host": postgres["host"], "port": postgres["port"], "dbname": postgres["database"]}
    return libpq.target({key: value for key, value in parameters.items() if value is not None})


def streams_of(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the enabled stream entries with their JetStream streams, sorted."""
    return sorted((entry["name"], entry["stream_name"]) for entry in settings["streams"] if entry["enabled"])


def query(client: Client, settings: Settings) -> str | None:
    """Query the daemon and return the result of `difference`; None if it does not answer."""
    try:
        daemons = client.call("config")["settings"]
    except EventwriterError:
        return None
    finally:
        client.close()
    try:
        return difference(effective(settings), daemons)
    except (KeyError, TypeError):  # settings of another release cannot be compared
        return None


def warn(settings: Settings, config: str | None) -> None:
    """Print a warning on stderr if a running daemon has other settings."""
    context = click.get_current_context(silent=True)
    # `eventwriter-ctl` has the option --socket; `eventwriter` has not.
    selected = context.find_root().params.get("path") if context else None
    path = selected or socket_path(config, os.environ)
    if mismatch := query(Client(path, ANSWER_S_MAX), settings):
        echo(f"warning: {mismatch}", err=True)

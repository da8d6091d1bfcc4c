"""
Whether a command that asks the servers itself has the running daemon's settings: in a plain shell it has others.

`eventwriter doctor` and `eventwriter-ctl verify`, `dlq`, `support-dump` load the caller's file
and environment. Where these name other servers than the daemon's, what they find is of those.
"""

import os
from collections.abc import Mapping
from typing import Any

import click

from eventwriter.cli.ctl.common import socket_path
from eventwriter.config import libpq
from eventwriter.config.describe import HIDDEN, effective
from eventwriter.config.settings import Settings
from eventwriter.control.client import Client
from eventwriter.errors import EventwriterError

ANSWER_S_MAX = 2.0  # what an operator waits for a daemon that hangs, before the command does its work


def difference(ours: Mapping[str, Any], daemons: Mapping[str, Any]) -> str | None:
    """
    Return the sentence that says whose settings these are not; None where they are the daemon's. Pure.

    Two DSNs are taken for the same: the daemon shows none, as it may hold a password.

    Args:
        ours: The command's settings, as `effective` shows them.
        daemons: The daemon's, as its verb `config` does.
    """
    if same(ours) == same(daemons):
        return None
    said = f"its NATS {', '.join(nats_of(daemons))}, its PostgreSQL {postgres_of(daemons)}"
    if streams_of(ours) != streams_of(daemons):
        said += f", its streams {', '.join(name for name, _ in streams_of(daemons)) or 'none'}"
    return f"these are not the running daemon's settings ({said}): give --config, and run with its environment"


def same(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what has to be the same: servers, database, streams."""
    return set(nats_of(settings)), postgres_of(settings), streams_of(settings)


def nats_of(settings: Mapping[str, Any]) -> list[str]:
    """Return NATS's servers, without what is hidden."""
    return [server.replace(f"{HIDDEN}@", "") for server in settings["nats"]["servers"]]


def postgres_of(settings: Mapping[str, Any]) -> str:
    """Return where PostgreSQL is: of a DSN, which may hold a password, only that there is one is shown."""
    postgres = settings["postgres"]
    if postgres["dsn"] is not None:
        return "as its postgres.dsn says"
    given = {"host": postgres["host"], "port": postgres["port"], "dbname": postgres["database"]}
    return libpq.target({key: value for key, value in given.items() if value is not None})


def streams_of(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the entries that are enabled, each with its JetStream stream, in no order of their own."""
    return sorted((entry["name"], entry["stream_name"]) for entry in settings["streams"] if entry["enabled"])


def asked(client: Client, settings: Settings) -> str | None:
    """Ask the daemon, and return the sentence of `difference`; None where no daemon answers, or it has no settings."""
    try:
        daemons = client.call("config")["settings"]
    except EventwriterError:
        return None
    finally:
        client.close()
    try:
        return difference(effective(settings), daemons)
    except (KeyError, TypeError):  # another release's settings: they cannot be compared
        return None


def warn(settings: Settings, config: str | None) -> None:
    """Say on stderr, in one line, where a daemon answers that has other settings; otherwise nothing."""
    context = click.get_current_context(silent=True)
    theirs = context.find_root().obj if context else None
    # `eventwriter-ctl` has a client, maybe by --socket; `eventwriter` has none.
    path = theirs.path if isinstance(theirs, Client) else socket_path(config, os.environ)
    if sentence := asked(Client(path, ANSWER_S_MAX), settings):
        click.echo(f"warning: {sentence}", err=True)

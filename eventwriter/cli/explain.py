"""
`eventwriter explain`: what a payload becomes, from a file or out of a stream; nothing is written anywhere.

Exit codes: 0 it becomes rows; 1 it becomes a dead letter; 2 a mistake of the caller's;
3 NATS cannot be reached.
"""

import asyncio
import os
import sys

import click
import orjson
from pydantic import SecretStr

from eventwriter import clock
from eventwriter.admin.explain import Wish, as_json, as_text, explain, instant
from eventwriter.cli.ctl.common import lines
from eventwriter.cli.main import hush
from eventwriter.config.load import load
from eventwriter.config.settings import PostgresSettings, Settings, StreamSettings
from eventwriter.errors import Fatal
from eventwriter.kinds.names import DEFAULT_SUBJECTS, KINDS
from eventwriter.kinds.registry import Kind
from eventwriter.kinds.registry import kind as kind_named
from eventwriter.model import Message
from eventwriter.pipeline.decode import matches
from eventwriter.tables.table import Table
from eventwriter.worker.table_binding import find_tables, tables_of

EXIT_DEAD = 1


@click.command(
    "explain",
    epilog=lines("eventwriter explain sample.json --kind telemetry", "eventwriter explain --stream events --seq 4711"),
)
@click.argument("file", required=False)
@click.option("--kind", "kind_name", metavar="KIND", help=f"What the payload is: {', '.join(KINDS)}.")
@click.option("--table", "table_names", metavar="NAME", multiple=True, help="Into these tables; may be repeated.")
@click.option("--subject", metavar="SUBJECT", help="As if it had come on this subject.")
@click.option("--stream", metavar="STREAM", help="Fetch the message from this JetStream stream instead; with --seq.")
@click.option("--seq", type=click.IntRange(1), metavar="N", help="Its stream sequence.")
@click.option("--config", "config_path", metavar="FILE", help="As `eventwriter --config`.")
@click.option("--dsn", metavar="DSN", help="Where the table is, for kind json; else as configured.")
@click.option("--json", "json_wanted", is_flag=True, help="One JSON object.")
def explain_command(
    file: str | None, kind_name: str | None, table_names: tuple[str, ...], subject: str | None,
    stream: str | None, seq: int | None, config_path: str | None, dsn: str | None, json_wanted: bool,
) -> int:  # fmt: skip
    """
    Show what a payload becomes: its rows, column by column, or its dead letter.

    FILE holds one payload, as it was published; - reads standard input. No server is
    asked, but for kind json, whose columns are the real table's. With --stream and
    --seq the message is fetched from JetStream, and the entry of the configuration
    that it belongs to says the rest.
    """
    settings = load(config_path, os.environ).settings
    if bool(stream) != bool(seq) or bool(file) == bool(stream):
        raise click.UsageError("give either a FILE (or -), or both --stream and --seq")
    if stream and seq:
        message = asyncio.run(stored(settings, stream, seq))
    else:
        message = Message("", subject or "", payload_of(str(file)), None, 1, 1, 1, clock.now_ns())
    entry = entry_of(settings, stream, subject or message.subject, kind_name)
    likely = entry.every_subject[0].replace("*", "explain").replace(">", "explain")
    message = message._replace(subject=subject or message.subject or likely)
    found = explain(wish_of(settings, entry, table_names, dsn), message)
    stored_at = instant(message.timestamp_ns) if stream else None
    if json_wanted:
        whole = {**as_json(found, message), "stored_at": stored_at}
        click.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
    else:
        if stored_at:
            click.echo(f"message: {stream} {seq}, {message.subject}, stored {stored_at}")
        for line in as_text(found):
            click.echo(line)
    return EXIT_DEAD if found.poison else 0


def payload_of(file: str) -> bytes:
    """
    Read a payload, byte for byte.

    Raises:
        Fatal: The file cannot be read.
    """
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as error:
        raise Fatal(f"{file}: cannot be read: {error.strerror}; give a file with one payload, or - for stdin") from None


def entry_of(settings: Settings, stream: str | None, subject: str, kind_name: str | None) -> StreamSettings:
    """
    Return the entry of the configuration that a message belongs to; one made for `kind_name` where there is none.

    Raises:
        Fatal: No entry fits, and no kind is given.
    """
    for entry in settings.streams:
        here = stream is None or entry.stream_name == stream
        fits = any(matches(pattern, subject) for pattern in entry.every_subject) if subject else entry.kind == kind_name
        if here and fits and kind_name in (None, entry.kind):
            return entry
    if kind_name is None:
        known = ", ".join(f"{e.name} ({', '.join(e.every_subject)})" for e in settings.streams)
        where = f"subject {subject!r}" if subject else "the payload"
        raise Fatal(f"no entry of streams takes {where}; give --kind, or a --subject of one of: {known}")
    kind_named(kind_name)
    subjects = (subject,) if subject else DEFAULT_SUBJECTS.get(kind_name.upper(), (">",))
    return StreamSettings(name="explain", stream_name=stream or "events", subjects=subjects, kind=kind_name)


def wish_of(settings: Settings, entry: StreamSettings, table_names: tuple[str, ...], dsn: str | None) -> Wish:
    """
    Return how the daemon would read a message of `entry`.

    Args:
        dsn: Where to look real tables up, for a kind that takes its columns from them; None for the configured place.

    Raises:
        Fatal: The kind cannot fill one of the tables.
        Retryable: PostgreSQL does not answer.
    """
    kind = kind_named(entry.kind)
    wanted = entry.model_copy(update={"tables": table_names}) if table_names else entry
    tables: list[Table] = tables_of(wanted, kind)
    if kind.any_table:
        postgres = PostgresSettings(dsn=SecretStr(dsn)) if dsn else settings.postgres
        tables = asyncio.run(_real(postgres, wanted, kind))
    redact = frozenset(key.lower() for key in settings.redact)
    return Wish(kind, tables, settings.ocsf_version, redact, entry.options)


async def _real(postgres: PostgresSettings, entry: StreamSettings, kind: Kind) -> list[Table]:
    from eventwriter.postgres.session import PostgresSession

    session = PostgresSession(postgres)
    try:
        async with session.transaction() as conn:
            return [found.table for found in await find_tables(conn, entry, kind)]
    finally:
        await session.close()


async def stored(settings: Settings, stream: str, seq: int) -> Message:
    """
    Fetch a message from JetStream.

    Raises:
        Fatal: There is no such stream or message, or NATS refuses us.
        Retryable: NATS does not answer.
    """
    # Imported here: explaining a file needs no driver.
    from eventwriter.jetstream.api import JetStreamApi, stored_message
    from eventwriter.jetstream.connect import NatsLink

    hush()
    link = NatsLink(settings.nats, "eventwriter explain")
    await link.connect()
    try:
        return await stored_message(JetStreamApi(link.client, settings.nats.domain), stream, seq)
    finally:
        await link.close()

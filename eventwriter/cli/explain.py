"""
`eventwriter explain`: show what a payload from a file or a stream becomes, without writing anything.

Exit codes: 0 the payload becomes rows or is ignored, 1 it becomes a dead letter, 2 usage or configuration error,
3 NATS is unreachable.
"""

import asyncio
import json
import os
import sys

import click
from pydantic import SecretStr

from eventwriter import clock
from eventwriter.admin.explain import Explainer, as_json, as_text, explain, instant
from eventwriter.cli.ctl.common import lines
from eventwriter.cli.main import silence_logs
from eventwriter.cli.output import echo, echo_json
from eventwriter.config.load import load
from eventwriter.config.settings import PostgresSettings, Settings, StreamSettings
from eventwriter.errors import Fatal
from eventwriter.kinds.names import DEFAULT_SUBJECTS, KINDS
from eventwriter.kinds.registry import Kind
from eventwriter.kinds.registry import kind as kind_named
from eventwriter.model import Message
from eventwriter.pipeline.decode import subject_matches
from eventwriter.tables.table import Table
from eventwriter.worker.table_binding import find_tables, tables_of

EXIT_DEAD = 1


@click.command(
    "explain",
    epilog=lines("eventwriter explain sample.json --kind telemetry", "eventwriter explain --stream events --seq 4711"),
)
@click.argument("file", required=False)
@click.option("--kind", "kind_name", metavar="KIND", help=f"Kind of the payload: {', '.join(KINDS)}.")
@click.option("--table", "table_names", metavar="NAME", multiple=True, help="Target table; may be repeated.")
@click.option("--subject", metavar="SUBJECT", help="Subject to assume for the payload.")
@click.option("--stream", metavar="STREAM", help="Fetch the message from this JetStream stream; requires --seq.")
@click.option("--seq", type=click.IntRange(1), metavar="N", help="Stream sequence of the message.")
@click.option("--config", "config_path", metavar="FILE", help="Configuration file, as for `eventwriter --config`.")
@click.option("--dsn", metavar="DSN", help="Database with the target table, for kind json. Default: as configured.")
@click.option("--json", "json_output", is_flag=True, help="Print one JSON object.")
def explain_command(
    file: str | None, kind_name: str | None, table_names: tuple[str, ...], subject: str | None,
    stream: str | None, seq: int | None, config_path: str | None, dsn: str | None, json_output: bool,
) -> int:  # fmt: skip
    """
    Show what a payload becomes: its rows, column by column, or its dead letter.

    FILE holds one payload as published; - reads standard input. No server is contacted, except for kind json, which
    takes its columns from the real table. With --stream and --seq the message is fetched from JetStream, and the
    matching stream entry of the configuration determines its kind and tables.
    """
    settings = load(config_path, os.environ).settings
    if bool(stream) != bool(seq) or bool(file) == bool(stream):
        raise click.UsageError("give either a FILE (or -), or both --stream and --seq")
    if stream and seq:
        message = asyncio.run(stored(settings, stream, seq))
    else:
        message = Message("", subject or "", payload_of(str(file)), None, 1, 1, 1, clock.now_ns())
    entry = entry_of(settings, stream, subject or message.subject, kind_name)
    example_subject = entry.every_subject[0].replace("*", "explain").replace(">", "explain")
    message = message._replace(subject=subject or message.subject or example_subject)
    explanation = explain(explainer_of(settings, entry, table_names, dsn), message)
    stored_at = instant(message.timestamp_ns) if stream else None
    if json_output:
        whole = {**as_json(explanation, message), "stored_at": stored_at}
        echo_json(json.dumps(whole, indent=2, ensure_ascii=False, default=str).encode())
    else:
        if stored_at:
            echo(f"message: {stream} {seq}, {message.subject}, stored {stored_at}")
        for line in as_text(explanation):
            echo(line)
    return EXIT_DEAD if explanation.poison else 0


def payload_of(file: str) -> bytes:
    """
    Return the bytes of a payload file.

    Raises:
        Fatal: The file cannot be read.
    """
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        with open(file, "rb") as payload:
            return payload.read()
    except OSError as error:
        raise Fatal(f"{file} cannot be read: {error.strerror}; give a file with one payload, or - for stdin") from None


def entry_of(settings: Settings, stream: str | None, subject: str, kind_name: str | None) -> StreamSettings:
    """
    Return the stream entry that a message belongs to; if none matches, a default entry of kind `kind_name`.

    Raises:
        Fatal: No entry matches, and no kind is given.
    """
    for entry in settings.streams:
        same_stream = stream is None or entry.stream_name == stream
        if subject:
            takes_message = any(subject_matches(pattern, subject) for pattern in entry.every_subject)
        else:
            takes_message = entry.kind == kind_name
        if same_stream and takes_message and kind_name in (None, entry.kind):
            return entry
    if kind_name is None:
        known = ", ".join(f"{e.name} ({', '.join(e.every_subject)})" for e in settings.streams)
        what = f"subject {subject!r}" if subject else "the payload"
        raise Fatal(f"no stream entry matches {what}; give --kind, or a --subject of one of: {known}")
    kind_named(kind_name)
    subjects = (subject,) if subject else DEFAULT_SUBJECTS.get(kind_name.upper(), (">",))
    return StreamSettings(name="explain", stream_name=stream or "events", subjects=subjects, kind=kind_name)


def explainer_of(settings: Settings, entry: StreamSettings, table_names: tuple[str, ...], dsn: str | None) -> Explainer:
    """
    Return the kind, tables and options that the daemon uses for messages of `entry`.

    Args:
        settings: The configuration.
        entry: Stream entry of the message.
        table_names: Target tables instead of those of the entry.
        dsn: Database with the real tables, for kinds that need them; None for the configured one.

    Raises:
        Fatal: The kind cannot fill one of the tables.
        Retryable: PostgreSQL is unreachable.
    """
    kind = kind_named(entry.kind)
    target = entry.model_copy(update={"tables": table_names}) if table_names else entry
    tables: list[Table] = tables_of(target, kind)
    if kind.any_table:
        postgres = PostgresSettings(dsn=SecretStr(dsn)) if dsn else settings.postgres
        tables = asyncio.run(_real_tables(postgres, target, kind))
    redact = frozenset(key.lower() for key in settings.redact)
    return Explainer(kind, tables, settings.ocsf_version, redact, entry.options, entry.ignore_subjects)


async def _real_tables(postgres: PostgresSettings, entry: StreamSettings, kind: Kind) -> list[Table]:
    from eventwriter.postgres.session import PostgresSession

    session = PostgresSession(postgres)
    try:
        async with session.transaction() as conn:
            return [found.table for found in await find_tables(conn, entry, kind)]
    finally:
        await session.close()


async def stored(settings: Settings, stream: str, seq: int) -> Message:
    """
    Return a stored message of a stream.

    Raises:
        Fatal: The stream or message does not exist, or NATS refused the login.
        Retryable: NATS is unreachable.
    """
    # Imported here because explaining a file needs no driver.
    from eventwriter.jetstream.api import JetStreamApi, stored_message
    from eventwriter.jetstream.connect import NatsLink

    silence_logs()
    link = NatsLink(settings.nats, "eventwriter explain")
    await link.connect()
    try:
        return await stored_message(JetStreamApi(link.client, settings.nats.domain), stream, seq)
    finally:
        await link.close()

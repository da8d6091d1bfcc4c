"""
`eventwriter-ctl verify`: the books of running slots, read from the servers themselves; no daemon is asked.

Exit codes: 0 they balance; 1 there are gaps, or a slot's books cannot be looked into;
2 a mistake of the caller's; 3 a server cannot be reached, or refuses us.
"""

import asyncio
import os
import re
from typing import TYPE_CHECKING

import click
import orjson
from rich.console import Console

from eventwriter.cli import same_daemon
from eventwriter.cli.main import hush
from eventwriter.config.load import load
from eventwriter.config.settings import Settings
from eventwriter.errors import Fatal
from eventwriter.model import SlotName

if TYPE_CHECKING:
    from eventwriter.verify.report import Report
    from eventwriter.verify.slot import Wish

EXIT_GAPS, EXIT_UNREACHABLE = 1, 3
LOOK_MESSAGES = 1000


def verify(config: str | None, names: tuple[str, ...], asked: str | None, look: int, as_json: bool) -> int:
    """Print the books of the slots that `names` mean, of all where there are none; returns the exit code."""
    from eventwriter.verify.slot import Wish

    hush()
    settings = load(config, os.environ).settings
    same_daemon.warn(settings, config)
    slots = chosen(settings, names)
    wish = Wish(read_range(asked), look)
    try:
        reports = asyncio.run(books(settings, slots, wish))
    except Fatal as error:
        # Another family of exit code than a mistake: the login is the server's to grant.
        click.echo(f"eventwriter-ctl: {error}", err=True)
        return EXIT_UNREACHABLE
    show(reports, as_json)
    return 0 if all(report.balanced for report in reports) else EXIT_GAPS


def chosen(settings: Settings, names: tuple[str, ...]) -> list[SlotName]:
    """
    Return the slots that are meant: of an entry, of a JetStream stream, or one slot.

    Raises:
        Fatal: A name means none.
    """
    # Workers that share a durable have one ledger between them.
    there = [slot for slot in settings.slots() if not (settings.stream(slot.stream).is_shared and slot.partition)]
    found: list[SlotName] = []
    for name in names:
        meant = [slot for slot in there if name in (slot.stream, str(slot), settings.stream(slot.stream).stream_name)]
        if not meant:
            known = ", ".join(f"{s.name} (of {s.stream_name})" for s in settings.streams if s.enabled)
            raise Fatal(f"{name!r} is no enabled entry of streams and no JetStream stream of one; there are {known}")
        found += meant
    return list(dict.fromkeys(found)) if names else there


def read_range(text: str | None) -> tuple[int, int]:
    """
    Read `100-200`, `100-`, `-200` or `100`; the first sequence, and the one after the last.

    Raises:
        UsageError: It is none of these.
    """
    from eventwriter.verify.judge import SEQ_MAX

    if text is None:
        return 1, SEQ_MAX
    found = re.fullmatch(r"(\d*)(-?)(\d*)", text.replace("_", "").replace(",", "").strip())
    if found and (found[1] or found[3]):
        low = int(found[1] or 1)
        high = int(found[3]) if found[3] else SEQ_MAX if found[2] else low
        if 1 <= low <= high:
            return low, min(high, SEQ_MAX - 1) + 1
    raise click.UsageError(f"--range {text!r}: write stream sequences like 100-200, 100- or -200, the smaller first")


async def books(settings: Settings, slots: list[SlotName], wish: "Wish") -> list["Report"]:
    """
    Look into the books of each slot, one after the other.

    Raises:
        Retryable: A server is away.
        Fatal: A server refuses us.
    """
    # Imported here: what only reads the command line needs no driver.
    from eventwriter.jetstream.api import JetStreamApi
    from eventwriter.jetstream.connect import NatsLink
    from eventwriter.postgres.reading import open_reader
    from eventwriter.verify.slot import Verifier, failed

    link = NatsLink(settings.nats, "eventwriter-ctl verify")
    await link.connect()
    try:
        reader = await open_reader(settings.postgres)
        try:
            api = JetStreamApi(link.client, settings.nats.domain)
            reports = []
            for slot in slots:
                try:
                    reports.append(await Verifier(settings, slot, api, reader, wish).run())
                except Fatal as error:
                    reports.append(failed(slot, settings, error))
            return reports
        finally:
            await reader.close()
    finally:
        await link.close()


def show(reports: list["Report"], as_json: bool) -> None:
    """Print what was found."""
    from eventwriter.cli.verify_screen import render

    if as_json:
        whole = {
            "balanced": all(report.balanced for report in reports),
            "slots": [report.as_json() for report in reports],
        }
        click.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console(highlight=False, soft_wrap=False)
    for report in reports:
        console.print(render(report))

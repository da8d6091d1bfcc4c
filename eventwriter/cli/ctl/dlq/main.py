"""
`eventwriter-ctl dlq`: dead letters listed, shown, replayed, exported, purged.

They are in PostgreSQL, so it is asked, not the daemon, which may run or not. What
needs a driver is imported when a command runs: it takes longer to load than anything else.

Exit codes: 0 done; 1 some letters are still dead; 2 the operator's mistake, or a
refusal; 3 PostgreSQL cannot be reached, or refuses the login.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

EXIT_DEAD = 1
LIST_MAX = 50


def connected(command: F) -> F:
    """Add the options that say where the letters are."""
    for option in (
        click.option("--schema", metavar="NAME", help="Where the table is, if entries name several schemas."),
        click.option("--dsn", metavar="DSN", help="Connect with this instead of what the configuration says."),
        click.option("--config", "config", metavar="FILE", help="As `eventwriter --config`."),
    ):
        command = option(command)
    return command


def filtered(command: F) -> F:
    """Add the options that say which letters."""
    for option in (
        click.option("--before", metavar="TIME", help="Written before that; as --since."),
        click.option("--since", metavar="TIME", help="Written since: 2h, 7d, or a time like 2026-01-31T12:00Z."),
        click.option("--reason", metavar="WORD", help="Of this reason: malformed, rejected, crash_loop …"),
        click.option("--stream", metavar="NAME", help="Of an entry of the configuration, or of a JetStream stream."),
    ):
        command = option(command)
    return command


STATE = click.option("--state", type=click.Choice(["new", "replayed"]), help="In this state; any if not given.")


@click.group()
def dlq() -> None:
    """
    Look at dead letters, and have them written after all.

    A dead letter is a message that could not become rows, kept whole with the reason.
    PostgreSQL is asked, not the daemon. Exit codes: 0 done, 1 some are still dead,
    2 a mistake, 3 PostgreSQL cannot be reached.
    """


@dlq.command("list")
@filtered
@STATE
@click.option("--limit", type=click.IntRange(1), default=LIST_MAX, show_default=True, metavar="N", help="At most N.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, headers and payloads left out.")
@connected
@click.pass_context
def list_letters(ctx: click.Context, /, **given: Any) -> int:
    """Show the newest letters, newest first."""
    from eventwriter.cli.ctl.dlq import commands

    return run(ctx, given, lambda desk: commands.list_letters(desk, given["limit"], given["as_json"]))


@dlq.command()
@click.argument("number", type=click.IntRange(1), metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@connected
@click.pass_context
def show(ctx: click.Context, /, **given: Any) -> int:
    """Show one letter whole: headers, payload, reason, and what its message would become today."""
    from eventwriter.cli.ctl.dlq import commands

    return run(ctx, given, lambda desk: commands.show(desk, given["number"], given["as_json"]))


@dlq.command()
@click.argument("numbers", type=click.IntRange(1), nargs=-1, metavar="[ID]...")
@filtered
@click.option("--dry-run", is_flag=True, help="Try it, say what would happen, and write nothing.")
@click.option("--quiet", is_flag=True, help="Only the sum, no line for each letter.")
@connected
@click.pass_context
def replay(ctx: click.Context, /, **given: Any) -> int:
    """
    Have new letters written, by today's code and configuration.

    All new ones, unless IDs or filters are given. The rows and the letter's new state are
    one transaction: a letter is replayed once, whatever happens, and by whomever.
    """
    from eventwriter.cli.ctl.dlq import commands

    return run(ctx, given, lambda desk: commands.replay(desk, given["dry_run"], given["quiet"]))


@dlq.command()
@click.argument("file", metavar="FILE")
@filtered
@STATE
@connected
@click.pass_context
def export(ctx: click.Context, /, **given: Any) -> int:
    """
    Write letters to FILE, one JSON object a line, the payload in base64; - is standard output.

    Payloads are as they came: secrets in them are not left out.
    """
    from eventwriter.cli.ctl.dlq import commands

    return run(ctx, given, lambda desk: commands.export(desk, given["file"]))


@dlq.command()
@filtered
@STATE
@click.option("--yes", is_flag=True, help="Without this it is only counted.")
@connected
@click.pass_context
def purge(ctx: click.Context, /, **given: Any) -> int:
    """Delete letters, for good: those that the filters mean, all without any."""
    from eventwriter.cli.ctl.dlq import commands

    return run(ctx, given, lambda desk: commands.purge(desk, given["yes"]))


def run(ctx: click.Context, given: dict[str, Any], act: Callable[[Any], Any]) -> int:
    """
    Connect, find the letters' table, and act.

    Returns:
        The exit code.
    """
    from eventwriter.cli.ctl.dlq.session import opened

    given["config"] = given["config"] or ctx.find_root().params.get("config")

    async def main() -> int:
        async with opened(given) as desk:
            code: int = await act(desk)
            return code

    return asyncio.run(main())

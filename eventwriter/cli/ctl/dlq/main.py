"""
`eventwriter-ctl dlq`: list, show, replay, export and purge dead letters.

The commands query PostgreSQL; the daemon may be running or not. Modules that need a driver
are imported when a command runs, because they are slow to load.

Exit codes: 0 done; 1 some dead letters could not be replayed; 2 usage or configuration error, or a rejected
statement; 3 PostgreSQL is unreachable or refused the login.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

EXIT_DEAD = 1
LIST_MAX = 50


def connected(command: F) -> F:
    """Add the options that select the database."""
    for option in (
        click.option("--schema", metavar="NAME", help="Schema of the dead-letter table, if entries use several."),
        click.option("--dsn", metavar="DSN", help="Database to connect to. Default: as configured."),
        click.option("--config", "config", metavar="FILE", help="Configuration file, as for `eventwriter --config`."),
    ):
        command = option(command)
    return command


def filtered(command: F) -> F:
    """Add the options that select dead letters."""
    for option in (
        click.option("--before", metavar="TIME", help="Only those written before TIME."),
        click.option("--since", metavar="TIME", help="Only those written since TIME: 2h, 7d, or 2026-01-31T12:00Z."),
        click.option("--reason", metavar="WORD", help="Only those with this reason: malformed, rejected, crash_loop …"),
        click.option("--stream", metavar="NAME", help="Only those of this stream entry or JetStream stream."),
    ):
        command = option(command)
    return command


STATE = click.option("--state", type=click.Choice(["new", "replayed"]), help="Only those in this state. Default: any.")


JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def dlq() -> None:
    """
    Inspect and replay dead letters.

    A dead letter is a message that could not become rows, stored whole with the reason. The commands query
    PostgreSQL, not the daemon. Exit codes: 0 done, 1 some could not be replayed, 2 usage or configuration error,
    3 PostgreSQL is unreachable.
    """


@dlq.command("list")
@filtered
@STATE
@click.option(
    "--limit", type=click.IntRange(1), default=LIST_MAX, show_default=True, metavar="N", help="Show at most N."
)
@click.option("--by", type=click.Choice(["reason"]), help="Count them by reason, with the newest one as an example.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object without headers and payloads.")
@connected
@click.pass_context
def list_letters(ctx: click.Context, /, **options: Any) -> int:
    """List dead letters, newest first, or count them by reason."""
    from eventwriter.cli.ctl.dlq import commands

    if options["by"] is not None:
        return run(ctx, options, lambda session: commands.list_by_reason(session, options["as_json"]))
    return run(ctx, options, lambda session: commands.list_letters(session, options["limit"], options["as_json"]))


@dlq.command()
@click.argument("number", type=click.IntRange(1), metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@connected
@click.pass_context
def show(ctx: click.Context, /, **options: Any) -> int:
    """Show one dead letter: headers, payload, reason, and what its message would become today."""
    from eventwriter.cli.ctl.dlq import commands

    return run(ctx, options, lambda session: commands.show(session, options["number"], options["as_json"]))


@dlq.command()
@click.argument("numbers", type=click.IntRange(1), nargs=-1, metavar="[ID]...")
@filtered
@click.option("--dry-run", is_flag=True, help="Show what would happen, and write nothing.")
@click.option("--quiet", is_flag=True, help="Print only the summary.")
@JSON
@connected
@click.pass_context
def replay(ctx: click.Context, /, **options: Any) -> int:
    """
    Write new dead letters to their tables with the current code and configuration.

    Without IDs or filters, all new dead letters are replayed. The rows and the new state are committed in one
    transaction, so each dead letter is replayed at most once.
    """
    from eventwriter.cli.ctl.dlq import commands

    return run(
        ctx, options, lambda session: commands.replay(session, options["dry_run"], options["quiet"], options["as_json"])
    )


@dlq.command()
@click.argument("file", metavar="FILE")
@filtered
@STATE
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@connected
@click.pass_context
def export(ctx: click.Context, /, **options: Any) -> int:
    """
    Export dead letters to FILE, one JSON object per line with the payload in base64; - is standard output.

    Payloads are exported unchanged, including any secrets in them.
    """
    from eventwriter.cli.ctl.dlq import commands

    return run(ctx, options, lambda session: commands.export(session, options["file"], options["as_json"]))


@dlq.command()
@filtered
@STATE
@click.option("--yes", is_flag=True, help="Confirm the deletion; without it, only the count is printed.")
@JSON
@connected
@click.pass_context
def purge(ctx: click.Context, /, **options: Any) -> int:
    """Delete the selected dead letters permanently; without filters, all of them."""
    from eventwriter.cli.ctl.dlq import commands

    return run(ctx, options, lambda session: commands.purge(session, options["yes"], options["as_json"]))


def run(ctx: click.Context, options: dict[str, Any], act: Callable[[Any], Any]) -> int:
    """
    Connect, open the dead-letter table, and run the command.

    Returns:
        The exit code.
    """
    from eventwriter.cli.ctl.dlq import commands
    from eventwriter.cli.ctl.dlq.session import open_session

    options["config"] = options["config"] or ctx.find_root().params.get("config")

    async def main() -> int:
        async with open_session(options) as session:
            await commands.check_selection(session)
            code: int = await act(session)
            return code

    return asyncio.run(main())

"""Commands of `eventwriter-ctl` that look into workers: tap, stacks, support-dump; and completion for shells."""

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.text import Text

from eventwriter import clock
from eventwriter.cli.ctl_common import console, lines, slot_argument
from eventwriter.cli.render_tap import sample_lines
from eventwriter.control.client import Client
from eventwriter.errors import EventwriterError

TAP_POLL_S = 0.5
SHELLS = ("bash", "zsh", "fish")


@click.command(
    short_help="Samples of the messages that pass.",
    epilog=lines(
        "eventwriter-ctl tap NETFLOW --limit 3",
        "eventwriter-ctl tap TELEMETRY --stage row --filter 'telemetry.cpu.>'",
        "eventwriter-ctl tap all --stage dead --seconds 60 --json > dead.jsonl",
    ),
)
@slot_argument()
@click.option(
    "--stage", type=click.Choice(["raw", "row", "dead"]), default="raw", show_default=True,
    help="As it came; the rows that were committed; what became dead letters, and why.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="End after N.")
@click.option(
    "--filter", "wanted", metavar="TEXT", help="Subjects that match, like 'a.*.c' or 'a.>', or payloads with TEXT."
)
@click.option(
    "--rate", "per_s", type=click.FloatRange(min=0.1, max=100), default=10, show_default=True, metavar="N",
    help="Samples a second at most, of each worker.",
)  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0.1), metavar="S", help="End after so long.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def tap(client: Client, /, slot: str, as_json: bool, limit: int, seconds: float | None, **asked: Any) -> int:
    """
    Show samples of the messages that pass a SLOT or a STREAM's, until ^C.

    Workers are not held up: what is not fetched in time is left out and counted. The values
    of `redact` keys are not shown.
    """
    fields = {"slot": slot, "tap": uuid.uuid4().hex, "filter": asked.pop("wanted"), **asked}
    shown = seen = left_out = 0
    out = console()
    try:
        for answer in fetched(client, fields, seconds):
            seen, left_out = seen + answer["seen"], left_out + answer["left_out"]
            for sample in answer["samples"][: limit - shown]:
                shown += 1
                if as_json:
                    click.echo(json.dumps(sample))
                else:
                    out.print(*sample_lines(sample), sep="\n", end="\n\n", soft_wrap=True)
            if shown >= limit:
                break
    except KeyboardInterrupt:
        pass
    finally:
        with contextlib.suppress(EventwriterError):
            client.call("tap", **fields, end=True)
    click.echo(f"{shown} shown of {seen} that passed; {left_out} samples left out", err=True)
    return 0


def fetched(client: Client, fields: Mapping[str, Any], seconds: float | None) -> Iterator[Mapping[str, Any]]:
    """Yield what the taps have taken, again and again, until the time is up."""
    until_s = None if seconds is None else clock.monotonic_s() + seconds
    said: dict[str, str] = {}
    while until_s is None or clock.monotonic_s() < until_s:
        answer = client.call("tap", **fields)
        if answer["why"] != said:
            said = answer["why"]
            for name, why in said.items():
                click.echo(f"{name}: {why}", err=True)
        yield answer
        time.sleep(TAP_POLL_S)


@click.command(
    short_help="Where a worker is in its code.",
    epilog=lines(
        "eventwriter-ctl stacks NETFLOW/0",
        "eventwriter-ctl stacks all --json > stacks.json",
    ),
)
@slot_argument()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def stacks(client: Client, slot: str, as_json: bool) -> int:
    """
    Show where a worker is in its code: its threads, and the tasks of its event loop.

    Threads are told by a signal handler, so also of a worker that computes for ever or
    is blocked; its tasks are not there then. Exit code 1 where something is missing.
    """
    found = client.call("stacks", slot=slot)["stacks"]
    if as_json:
        click.echo(json.dumps(found))
    else:
        for name, one in found.items():
            click.echo("\n".join(stack_lines(name, one)))
    return int(any(one["why"] for one in found.values()))


def stack_lines(name: str, found: Mapping[str, Any]) -> list[str]:
    """Return one worker's stacks in lines."""
    head = f"{name} (pid {found['pid']})" if found["pid"] else name
    said = [f"{head}: {found['why']}" if found["why"] else head]
    said += [f"  {line}" for line in found["threads"].rstrip().splitlines()]
    for task in found["tasks"] or []:
        said += ["", *(f"  {line}" for line in task.splitlines())]
    return [*said, ""]


@click.command(
    "support-dump",
    epilog=lines("eventwriter-ctl support-dump /tmp/eventwriter.tar.gz"),
    short_help="Write a bundle for whoever helps.",
)
@click.argument("file", type=click.Path(dir_okay=False), metavar="FILE")
@click.option("--log", "log_file", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="The daemon's log. Default: journald's of the unit eventwriter, where it can be read.")  # fmt: skip
@click.pass_context
def support_dump(ctx: click.Context, file: str, log_file: str | None) -> int:
    """
    Write a bundle for whoever helps: status, settings, versions, doctor, stacks, log lines.

    A .tar.gz of text files; read it before you send it. Secrets of the configuration are not in
    it, and no payloads. Without a daemon it has what can be had. Exit code 1 where a part is missing.
    """
    from eventwriter.cli.support import write

    out = console()

    def told(part: str, problem: str | None) -> None:
        out.print(Text(f"{part:<14}", "bold"), Text(problem or "ok", "yellow" if problem else "green"))

    config = ctx.find_root().params.get("config")
    complete = write(file, ctx.obj, config, log_file, told)
    click.echo(f"written: {file}")
    return 0 if complete else 1


@click.command(
    short_help="Completion for bash, zsh or fish.",
    epilog=lines(
        'eval "$(eventwriter-ctl completion bash)"',
        "eventwriter-ctl completion fish > ~/.config/fish/completions/eventwriter-ctl.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what a shell needs to complete commands, options, slots and streams."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    made = found(ctx.find_root().command, {}, "eventwriter-ctl", "_EVENTWRITER_CTL_COMPLETE")
    click.echo(made.source())

"""
The bundle of `eventwriter-ctl support-dump`: what a helper would ask for, one text file each, without secrets.

Every part is had by itself; one that fails is in the bundle as the sentence that says why.
"""

import contextlib
import importlib.metadata
import io
import json
import os
import platform
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from rich.text import Text

from eventwriter import __version__, clock
from eventwriter.cli import daemon_mismatch
from eventwriter.cli.ctl.common import console, lines, slot_argument
from eventwriter.cli.ctl.render import sample_lines
from eventwriter.cli.main import config_path, hush
from eventwriter.control.client import Client
from eventwriter.errors import ConfigError, EventwriterError

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


LOG_BYTES_MAX = 512 * 1024
LOG_LINES_MAX = 2000
JOURNAL_S_MAX = 20.0
PACKAGES = (
    "nats-py", "psycopg", "psycopg-binary", "uvloop", "orjson", "click", "rich", "pydantic", "psutil", "protobuf",
    "aiohttp", "prometheus-client",
)  # fmt: skip

NO_ENTRIES = "-- No entries --"
"""What journalctl prints, with exit code 0, of a unit that it does not know or may not show."""

Part = tuple[str, Callable[[], str]]


class Doubtful(EventwriterError):
    """A part is there, and is not what it seems; the error's text says why."""

    def __init__(self, sentence: str, text: str) -> None:
        super().__init__(sentence)
        self.text = text


def write(
    file: str, client: Client, config: str | None, log_file: str | None, told: Callable[[str, str | None], None]
) -> bool:
    """
    Write the bundle, readable by its owner only.

    Args:
        config: The daemon's configuration file, where it is given.
        log_file: The daemon's log; None for journald's.
        told: Called with each part's name, and what is wrong with it.

    Returns:
        Whether every part is there.

    Raises:
        EventwriterError: The file cannot be written.
    """
    complete = True
    folder = f"eventwriter-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as bundle:
            for name, made in parts(client, config, log_file):
                text, problem = had(made)
                complete = complete and problem is None
                add(bundle, f"{folder}/{name}", text)
                told(name, problem)
    except OSError as error:
        raise EventwriterError(f"{file} cannot be written: {error.strerror}") from error
    return complete


def had(made: Callable[[], str]) -> tuple[str, str | None]:
    """Return a part's text, and why it is not there, or not whole, in a sentence."""
    try:
        return made(), None
    except Doubtful as error:
        return error.text, str(error)
    except ConfigError as error:
        return "\n".join(error.errors) + "\n", "; ".join(error.errors)
    except (EventwriterError, OSError, subprocess.SubprocessError) as error:
        return f"{error}\n", str(error)


def add(bundle: tarfile.TarFile, name: str, text: str) -> None:
    """Add a text file."""
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
    bundle.addfile(entry, io.BytesIO(content))


def parts(client: Client, config: str | None, log_file: str | None) -> Iterator[Part]:
    """Yield the parts: name and maker."""
    yield "versions.txt", versions
    yield "status.json", lambda: pretty(client.call("status"))
    yield "config.json", lambda: pretty(settings(client, config))
    yield "positions.json", lambda: pretty(client.call("look"))
    yield "stacks.txt", lambda: all_stacks(client)
    yield "doctor.json", lambda: doctor(client, config)
    yield "log.txt", lambda: log_lines(log_file)


def pretty(value: Any) -> str:
    """Return JSON for people."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def versions() -> str:
    """Return what runs here."""
    lines = [f"eventwriter {__version__}", f"Python {platform.python_version()}", platform.platform()]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package} absent")
    return "\n".join(lines) + "\n"


def settings(client: Client, config: str | None) -> Any:
    """Return the settings that the daemon runs with; where it does not answer, what the file says."""
    try:
        return client.call("config")["settings"]
    except EventwriterError:
        from eventwriter.config.describe import effective
        from eventwriter.config.load import load

        return effective(load(config_path(config, os.environ), os.environ).settings)


def all_stacks(client: Client) -> str:
    """Return every worker's stacks."""
    found = client.call("stacks", slot="all")["stacks"]
    return "\n".join("\n".join(stack_lines(name, one)) for name, one in found.items())


def doctor(client: Client, config: str | None) -> str:
    """
    Return doctor's findings.

    Raises:
        Doubtful: They are of other servers than the daemon's.
    """
    # Imported here: both drivers come along.
    from eventwriter.admin.doctor import runner
    from eventwriter.admin.doctor.findings import Reporter
    from eventwriter.config.load import load

    hush()  # what is logged on the way is in the findings
    path = config_path(config, os.environ)
    findings = runner.run(path, os.environ)
    try:
        sentence = daemon_mismatch.asked(client, load(path, os.environ).settings)
    except ConfigError as error:
        mistakes = "; ".join(error.errors)
        raise Doubtful(mistakes, pretty([finding.as_json() for finding in findings])) from None
    if sentence is None:
        return pretty([finding.as_json() for finding in findings])
    first = Reporter("config", "daemon").warn(sentence, "what follows is of the servers of these other settings")
    raise Doubtful(sentence, pretty([finding.as_json() for finding in [first, *findings]]))


def log_lines(log_file: str | None) -> str:
    """
    Return the newest lines of the log.

    Raises:
        EventwriterError: There are none, or they cannot be read.
    """
    if log_file is None:
        done = subprocess.run(
            ["journalctl", "--unit=eventwriter", "--no-pager", f"--lines={LOG_LINES_MAX}", "--output=short-iso"],
            capture_output=True, text=True, timeout=JOURNAL_S_MAX, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode != 0:
            raise EventwriterError(f"journald's log cannot be read: {done.stderr.strip()}; give --log FILE")
        if done.stdout.strip() in ("", NO_ENTRIES):
            why = f": {done.stderr.strip()}" if done.stderr.strip() else ""
            raise EventwriterError(f"journald shows no line of the unit eventwriter{why}; give --log FILE")
        return done.stdout[-LOG_BYTES_MAX:]
    with open(log_file, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES_MAX))
        text = file.read().decode(errors="replace")
    if not text.strip():
        raise EventwriterError(f"{log_file} is empty; give the daemon's log with --log FILE")
    return text.partition("\n")[2] if size > LOG_BYTES_MAX else text

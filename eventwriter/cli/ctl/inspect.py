"""
Commands of `eventwriter-ctl` that inspect workers: tap, stacks, support-dump; and shell completion.

`support-dump` collects each part of its bundle independently. A part that fails is replaced by the reason.
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
from eventwriter.cli.ctl.common import as_json_option, client_of, console, lines, pass_client, slot_argument
from eventwriter.cli.ctl.render import sample_lines
from eventwriter.cli.main import config_path, silence_logs
from eventwriter.cli.output import echo, echo_code, echo_json
from eventwriter.cli.private_file import private_file
from eventwriter.control.client import Client
from eventwriter.errors import ConfigError, EventwriterError
from eventwriter.observe.escape import printable_json

TAP_POLL_S = 0.5
SHELLS = ("bash", "zsh", "fish")


@click.command(
    short_help="Show samples of the messages that are processed.",
    epilog=lines(
        "eventwriter-ctl tap NETFLOW --limit 3",
        "eventwriter-ctl tap TELEMETRY --stage row --filter 'telemetry.cpu.>'",
        "eventwriter-ctl tap all --stage dead --seconds 60 --json > dead.jsonl",
    ),
)
@slot_argument()
@click.option(
    "--stage", type=click.Choice(["raw", "row", "dead"]), default="raw", show_default=True,
    help="Messages as received, committed rows, or dead letters with their reason.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="Stop after N samples."
)
@click.option(
    "--filter",
    "pattern",
    metavar="TEXT",
    help="Subjects that match, such as 'a.*.c' or 'a.>', or payloads that contain TEXT.",
)
@click.option(
    "--rate", "per_s", type=click.FloatRange(min=0.1, max=100), default=10, show_default=True, metavar="N",
    help="Samples per second and worker, at most.",
)  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0.1), metavar="S", help="Stop after S seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_client
def tap(client: Client, /, slot: str, as_json: bool, limit: int, seconds: float | None, **options: Any) -> int:
    """
    Show samples of the messages that a SLOT or STREAM processes, until Ctrl-C.

    Workers are not slowed down: samples that are not fetched in time are dropped and counted. Values of `redact`
    keys are hidden.
    """
    fields = {"slot": slot, "tap": uuid.uuid4().hex, "filter": options.pop("pattern"), **options}
    printed = seen = dropped = 0
    out = console()
    try:
        for answer in poll_taps(client, fields, seconds):
            seen, dropped = seen + answer["seen"], dropped + answer["left_out"]
            for sample in answer["samples"][: limit - printed]:
                printed += 1
                if as_json:
                    echo_json(json.dumps(sample))
                else:
                    out.print(*sample_lines(sample), sep="\n", end="\n\n", soft_wrap=True)
            if printed >= limit:
                break
    except KeyboardInterrupt:
        pass
    finally:
        with contextlib.suppress(EventwriterError):
            client.call("tap", **fields, end=True)
    echo(f"{printed} of {seen} messages shown; {dropped} samples dropped", err=True)
    return 0


def poll_taps(client: Client, fields: Mapping[str, Any], seconds: float | None) -> Iterator[Mapping[str, Any]]:
    """Poll the taps and yield their answers until the time is up."""
    until_s = None if seconds is None else clock.monotonic_s() + seconds
    printed: dict[str, str] = {}
    while until_s is None or clock.monotonic_s() < until_s:
        answer = client.call("tap", **fields)
        if answer["why"] != printed:
            printed = answer["why"]
            for name, why in printed.items():
                echo(f"{name}: {why}", err=True)
        yield answer
        time.sleep(TAP_POLL_S)


@click.command(
    short_help="Show the stacks of a worker's threads and tasks.",
    epilog=lines(
        "eventwriter-ctl stacks NETFLOW/0",
        "eventwriter-ctl stacks all --json > stacks.json",
    ),
)
@slot_argument()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@pass_client
def stacks(client: Client, slot: str, as_json: bool) -> int:
    """
    Show the stacks of a worker's threads and of the tasks of its event loop.

    A signal handler prints the threads, so they are available even if the worker is blocked or in an endless loop;
    its tasks are not. Exit code 1 if a part is missing.
    """
    reply = client.call("stacks", slot=slot)["stacks"]
    if as_json:
        echo_json(json.dumps(reply))
    else:
        for name, stack in reply.items():
            echo("\n".join(stack_lines(name, stack)))
    return int(any(stack["why"] for stack in reply.values()))


def stack_lines(name: str, stack: Mapping[str, Any]) -> list[str]:
    """Return the stacks of one worker as lines."""
    head = f"{name} (pid {stack['pid']})" if stack["pid"] else name
    lines = [f"{head}: {stack['why']}" if stack["why"] else head]
    lines += [f"  {line}" for line in stack["threads"].rstrip().splitlines()]
    for task in stack["tasks"] or []:
        lines += ["", *(f"  {line}" for line in task.splitlines())]
    return [*lines, ""]


@click.command(
    "support-dump",
    epilog=lines("eventwriter-ctl support-dump /tmp/eventwriter.tar.gz"),
    short_help="Write a support bundle.",
)
@click.argument("file", type=click.Path(dir_okay=False), metavar="FILE")
@click.option("--log", "log_file", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="Log file of the daemon. Default: the journal of the unit eventwriter.")  # fmt: skip
@as_json_option
@click.pass_context
def support_dump(ctx: click.Context, file: str, log_file: str | None, as_json: bool) -> int:
    """
    Write a support bundle: status, settings, versions, doctor findings, stacks and log lines.

    FILE is a .tar.gz of text files; review it before you send it. It contains neither secrets of the configuration
    nor payloads. Parts that are not available, for example without a running daemon, are missing, and the exit
    code is 1.
    """
    out = console()
    problems: dict[str, str | None] = {}

    def report(part: str, problem: str | None) -> None:
        problems[part] = problem
        if not as_json:
            out.print(Text(f"{part:<14}", "bold"), Text(problem or "ok", "yellow" if problem else "green"))

    config = ctx.find_root().params.get("config")
    complete = write(file, client_of(ctx), config, log_file, report)
    if as_json:
        echo_json(json.dumps({"file": file, "complete": complete, "parts": problems}))
    else:
        echo(f"written: {file}")
    return 0 if complete else 1


@click.command(
    short_help="Print completion code for bash, zsh or fish.",
    epilog=lines(
        'eval "$(eventwriter-ctl completion bash)"',
        "eventwriter-ctl completion fish > ~/.config/fish/completions/eventwriter-ctl.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print code that lets a shell complete commands, options, slots and streams."""
    from click.shell_completion import get_completion_class

    completion_class = get_completion_class(shell)
    assert completion_class is not None
    completer = completion_class(ctx.find_root().command, {}, "eventwriter-ctl", "_EVENTWRITER_CTL_COMPLETE")
    echo_code(completer.source())


LOG_BYTES_MAX = 512 * 1024
LOG_LINES_MAX = 2000
JOURNAL_S_MAX = 20.0
PACKAGES = (
    "nats-py", "psycopg", "psycopg-binary", "uvloop", "orjson", "click", "rich", "pydantic", "psutil", "protobuf",
    "aiohttp", "prometheus-client",
)  # fmt: skip

NO_ENTRIES = "-- No entries --"
"""Output of journalctl, with exit code 0, for a unit that is unknown or not readable."""

Part = tuple[str, Callable[[], str]]


class QuestionablePart(EventwriterError):
    """A part was collected, but may not describe the running daemon. The message says why."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


def write(
    file: str, client: Client, config: str | None, log_file: str | None, report: Callable[[str, str | None], None]
) -> bool:
    """
    Write the bundle with access for its owner only.

    Args:
        file: Path of the bundle.
        client: Client of the daemon.
        config: Configuration file of the daemon, if given.
        log_file: Log file of the daemon; None for the journal.
        report: Called with the name of each part and its problem, if any.

    Returns:
        Whether every part was collected.

    Raises:
        EventwriterError: The file cannot be written.
    """
    complete = True
    folder = f"eventwriter-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    try:
        with private_file(file) as raw, tarfile.open(fileobj=raw, mode="w:gz") as bundle:
            for name, collect in parts(client, config, log_file):
                text, problem = collect_part(collect)
                complete = complete and problem is None
                add(bundle, f"{folder}/{name}", text)
                report(name, problem)
    except OSError as error:
        raise EventwriterError(f"{file} cannot be written: {error.strerror}") from error
    return complete


def collect_part(collect: Callable[[], str]) -> tuple[str, str | None]:
    """Return the text of a part and its problem; if it is missing, the text is the problem."""
    try:
        return collect(), None
    except QuestionablePart as error:
        return error.text, str(error)
    except ConfigError as error:
        return "\n".join(error.errors) + "\n", "; ".join(error.errors)
    except (EventwriterError, OSError, subprocess.SubprocessError) as error:
        return f"{error}\n", str(error)


def add(bundle: tarfile.TarFile, name: str, text: str) -> None:
    """Add a text file to the bundle."""
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
    bundle.addfile(entry, io.BytesIO(content))


def parts(client: Client, config: str | None, log_file: str | None) -> Iterator[Part]:
    """Yield the name and the collector of each part."""
    yield "versions.txt", versions
    yield "status.json", lambda: pretty(client.call("status"))
    yield "config.json", lambda: pretty(settings(client, config))
    yield "positions.json", lambda: pretty(client.call("positions"))
    yield "stacks.txt", lambda: all_stacks(client)
    yield "doctor.json", lambda: doctor(client, config)
    yield "log.txt", lambda: log_lines(log_file)


def pretty(value: Any) -> str:
    """Return indented JSON."""
    return printable_json(json.dumps(value, indent=1, ensure_ascii=False)) + "\n"


def versions() -> str:
    """Return the versions of eventwriter, Python and the packages in use."""
    lines = [f"eventwriter {__version__}", f"Python {platform.python_version()}", platform.platform()]
    for package in PACKAGES:
        try:
            lines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package} not installed")
    return "\n".join(lines) + "\n"


def settings(client: Client, config: str | None) -> Any:
    """Return the settings of the daemon; if it does not answer, those of the file."""
    try:
        return client.call("config")["settings"]
    except EventwriterError:
        from eventwriter.config.describe import effective
        from eventwriter.config.load import load

        return effective(load(config_path(config, os.environ), os.environ).settings)


def all_stacks(client: Client) -> str:
    """Return the stacks of all workers."""
    reply = client.call("stacks", slot="all")["stacks"]
    return "\n".join("\n".join(stack_lines(name, stack)) for name, stack in reply.items())


def doctor(client: Client, config: str | None) -> str:
    """
    Return the findings of doctor.

    Raises:
        QuestionablePart: The findings are about other servers than the daemon uses.
    """
    # Imported here because it loads both drivers.
    from eventwriter.admin.doctor import runner
    from eventwriter.admin.doctor.findings import Reporter
    from eventwriter.config.load import load

    silence_logs()  # the findings contain what would be logged
    path = config_path(config, os.environ)
    findings = runner.run(path, os.environ)
    try:
        mismatch = daemon_mismatch.query(client, load(path, os.environ).settings)
    except ConfigError as error:
        mistakes = "; ".join(error.errors)
        raise QuestionablePart(mistakes, pretty([finding.as_json() for finding in findings])) from None
    if mismatch is None:
        return pretty([finding.as_json() for finding in findings])
    first = Reporter("config", "daemon").warn(
        mismatch, "the findings below are about the servers of these other settings"
    )
    raise QuestionablePart(mismatch, pretty([finding.as_json() for finding in [first, *findings]]))


def log_lines(log_file: str | None) -> str:
    """
    Return the newest lines of the log.

    Raises:
        EventwriterError: The log is empty or cannot be read.
    """
    if log_file is None:
        result = subprocess.run(
            ["journalctl", "--unit=eventwriter", "--no-pager", f"--lines={LOG_LINES_MAX}", "--output=short-iso"],
            capture_output=True, text=True, timeout=JOURNAL_S_MAX, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if result.returncode != 0:
            raise EventwriterError(
                f"the journal cannot be read: {result.stderr.strip()}; give the log file with --log FILE"
            )
        if result.stdout.strip() in ("", NO_ENTRIES):
            why = f": {result.stderr.strip()}" if result.stderr.strip() else ""
            raise EventwriterError(
                f"the journal has no entries of the unit eventwriter{why}; give the log file with --log FILE"
            )
        return result.stdout[-LOG_BYTES_MAX:]
    with open(log_file, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_BYTES_MAX))
        text = file.read().decode(errors="replace")
    if not text.strip():
        raise EventwriterError(f"{log_file} is empty; give the log file of the daemon with --log FILE")
    return text.partition("\n")[2] if size > LOG_BYTES_MAX else text

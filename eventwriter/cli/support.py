"""
The bundle of `eventwriter-ctl support-dump`: what a helper would ask for, one text file each, without secrets.

Every part is had by itself; one that fails is in the bundle as the sentence that says why.
"""

import importlib.metadata
import io
import json
import os
import platform
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from eventwriter import __version__
from eventwriter.cli import same_daemon
from eventwriter.cli.ctl_look import stack_lines
from eventwriter.cli.main import config_path, hush
from eventwriter.control.client import Client
from eventwriter.errors import ConfigError, EventwriterError

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
        return "\n".join(error.mistakes) + "\n", "; ".join(error.mistakes)
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
    from eventwriter.config.load import load
    from eventwriter.doctor import examination
    from eventwriter.doctor.findings import Voice

    hush()  # what is logged on the way is in the findings
    path = config_path(config, os.environ)
    findings = examination.run(path, os.environ)
    try:
        sentence = same_daemon.asked(client, load(path, os.environ).settings)
    except ConfigError as error:
        mistakes = "; ".join(error.mistakes)
        raise Doubtful(mistakes, pretty([finding.as_json() for finding in findings])) from None
    if sentence is None:
        return pretty([finding.as_json() for finding in findings])
    first = Voice("config", "daemon").warn(sentence, "what follows is of the servers of these other settings")
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

"""
Log lines: one JSON object a line for machines, one short sentence a line for a terminal.

What is logged is a change of state or a batch, never a message. Fields travel in
`extra`; the supervisor and every worker write to the stderr they share, each
line with a single write. Lines that repeat are counted (`repeats`). No file of our
own is opened: journald, a container's log or a shell's redirection takes stderr, and
rotating it concerns nobody here.
"""

import fcntl
import json
import logging
import math
import os
import stat
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO, cast

from eventwriter import clock
from eventwriter.observe.stderr import Lines, lines_to

PLAIN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every log record has; anything else came from `extra`."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogOptions(Protocol):
    """The part of the settings that this module reads."""

    @property
    def level(self) -> str:
        """One of `LEVELS`."""

    @property
    def format(self) -> str:
        """`json`, `text`, or `auto`: text on a terminal, JSON elsewhere."""


PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""syslog's numbers, which journald reads from the beginning of a line. Source: sd-daemon(3)."""

QUIET = {"nats": logging.WARNING, "asyncio": logging.WARNING}
"""Other people's loggers, and the least that is heard of them: at debug they would tell of every wake-up."""
KNOWN_NOISE = ("returning true from eof_received() has no effect when using ssl",)
"""What asyncio warns of, on every TLS connection that ends, and means nothing."""


def configure(options: LogOptions, slot: str | None = None) -> None:
    """
    Make this process log to stderr; called once in the parent and again in each child.

    Args:
        options: Level and format.
        slot: The worker's slot, which each of its lines carries; None in the supervisor.
    """
    root = logging.getLogger()
    root.handlers[:] = [StderrHandler(options.format, slot)]
    root.setLevel(LEVELS[options.level])
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("asyncio").addFilter(is_news)


def set_level(level: str) -> None:
    """Change the level of a running process."""
    logging.getLogger().setLevel(LEVELS[level])


def change(level: str, form: str | None = None) -> None:
    """Change the level of a running process, and the form of its lines where one is given."""
    set_level(level)
    for handler in ours():
        if form is not None:
            handler.choose(form)


def tick(last: bool = False) -> None:
    """Tell of lines that were held back, where it is time, or where this is the `last` call of about one a second."""
    for handler in ours():
        handler.tick(math.inf if last else clock.now_ns() / 1e9)


def ours() -> "list[StderrHandler]":
    """Return the handlers that `configure` made; none in a test that does without."""
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, StderrHandler)]


def is_news(record: logging.LogRecord) -> bool:
    """Say whether a record of asyncio's tells anything."""
    return record.getMessage() not in KNOWN_NOISE


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Say whether a stream is what systemd connected to the journal. Source: systemd.exec(5), JOURNAL_STREAM."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def append(stream: TextIO) -> None:
    """Have a file that stderr was sent to be written at its end, so that one cut short by logrotate has no hole."""
    try:
        fd = stream.fileno()
        if stat.S_ISREG(os.fstat(fd).st_mode):
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    except (OSError, ValueError):
        return


class StderrHandler(logging.StreamHandler[TextIO]):
    """
    Writes a process's lines, those that repeat less often than they come.

    Args:
        form: `json`, `text`, or `auto`.
        slot: As of `configure`.
    """

    def __init__(self, form: str, slot: str | None) -> None:
        super().__init__(cast(TextIO, lines_to(sys.stderr)))
        self._slot = slot
        self._lost_told = 0
        self._repeats = LogRateLimiter()
        self._to_journal = is_journal(sys.stderr, os.environ)
        append(sys.stderr)
        self.choose(form)

    def choose(self, form: str) -> None:
        """Write the lines from now on in this form."""
        as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
        self.setFormatter(JsonFormatter(self._slot) if as_json else TextFormatter(self._slot))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it."""
        if self._repeats.admits(record):
            lost = self._lost()
            super().emit(record)
            if self._lost() == lost > self._lost_told:
                self._tell_lost(lost)

    def _lost(self) -> int:
        return self.stream.lost if isinstance(self.stream, Lines) else 0

    def _tell_lost(self, lost: int) -> None:
        """Say how many lines were lost, now that lines can be written again."""
        words = "log lines were lost: stderr could not be written"
        told = logging.LogRecord(__name__, logging.WARNING, __file__, 0, words, None, None)
        told.lines = lost - self._lost_told
        super().emit(told)
        if self._lost() == lost:
            self._lost_told = lost

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as it is written; for journald each line begins with its priority."""
        text = super().format(record)
        if not self._to_journal:
            return text
        prefix = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in text.split("\n"))

    def tick(self, now_s: float) -> None:
        """Write what was only counted so far, where its interval is over; seconds since 1970."""
        self.acquire()
        try:
            for record in self._repeats.due(now_s):
                super().emit(record)
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Go on: a full disk, or a reader that is gone, must not end what is being logged."""


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a log call gave in `extra`."""
    return {name: value for name, value in vars(record).items() if name not in PLAIN_FIELDS}


class JsonFormatter(logging.Formatter):
    """`{"time": "…Z", "level": "info", "slot": "NETFLOW/0", "event": "batch written", "rows": 100}`."""

    def __init__(self, slot: str | None) -> None:
        super().__init__()
        self._slot = {"slot": slot} if slot else {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON; values that JSON does not know become their text."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), **self._slot}
        line["event"] = record.getMessage()
        line.update(fields(record))
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`12:03:04.120 INFO    NETFLOW/0: batch written rows=100`."""

    def __init__(self, slot: str | None) -> None:
        super().__init__()
        self._slot = slot

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, plus a traceback where there is one."""
        extra = fields(record)
        slot = extra.pop("slot", None) or self._slot or "supervisor"
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")[11:23]
        words = [f"{time} {record.levelname:<7} {slot}: {record.getMessage()}"]
        words += [f"{name}={value}" for name, value in extra.items()]
        line = " ".join(words).replace("\n", " ")
        if record.exc_info:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return line


BURST = 5
"""Lines of one event and slot that are written within an interval before they are only counted."""
INTERVAL_S = 10.0
"""How often what is only counted is told."""
EVENTS_MAX = 1000
"""Events remembered at once; there are some fifty in the program, for each slot that the supervisor speaks of."""

Key = tuple[int, str, object]
"""Level, event, slot."""


@dataclass(slots=True)
class Seen:
    """One event's interval."""

    began_s: float
    written: int = 0
    held_back: int = 0
    last: logging.LogRecord | None = None
    """The newest that was held back."""


class LogRateLimiter:
    """Written by one process's log handler, under its lock."""

    def __init__(self) -> None:
        self._seen: dict[Key, Seen] = {}

    def admits(self, record: logging.LogRecord) -> bool:
        """Say whether to write a record now; of the others the newest comes out of `due`, with their number."""
        if record.levelno <= logging.DEBUG:
            return True  # who asks for everything gets everything
        key = (record.levelno, str(record.msg), vars(record).get("slot"))
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= EVENTS_MAX:
                self._seen.clear()
            seen = self._seen[key] = Seen(record.created)
        if seen.written < BURST:
            seen.written += 1
            return True
        seen.held_back, seen.last = seen.held_back + 1, record
        return False

    def due(self, now_s: float) -> Iterator[logging.LogRecord]:
        """
        Yield what is to be told at the end of its interval, with the field `repeated`.

        Args:
            now_s: On the clock of the records: seconds since 1970.
        """
        for key, seen in list(self._seen.items()):
            if now_s - seen.began_s < INTERVAL_S and now_s >= seen.began_s:
                continue
            if seen.last is None:
                del self._seen[key]
                continue
            yield with_fields(seen.last, {"repeated": seen.held_back})
            # It goes on: from now on only the counts are written.
            seen.began_s, seen.held_back, seen.last = now_s, 0, None


def with_fields(record: logging.LogRecord, more: Mapping[str, object]) -> logging.LogRecord:
    """Return a copy of a record with fields added."""
    return logging.makeLogRecord({**vars(record), **more})

"""
Log lines: one JSON object a line for machines, one short sentence a line for a terminal.

Changes of state and batches are logged, never single messages. Fields are passed in `extra`.
The supervisor and its children share one stderr, and each line is one write. Repeated lines are
rate-limited. No log file is opened: journald, the container runtime or a redirection of the
shell stores stderr and rotates it.
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
from eventwriter.observe.escape import printable, printable_json, printable_line
from eventwriter.observe.stderr import StderrWriter, log_stream

STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes of every log record; all others were passed in `extra`."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogOptions(Protocol):
    """The part of the settings that this module reads."""

    @property
    def level(self) -> str:
        """One of `LEVELS`."""

    @property
    def format(self) -> str:
        """`json`, `text`, or `auto`: text on a terminal, JSON otherwise."""


PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Priorities of syslog, which journald reads from the start of a line. Source: sd-daemon(3)."""

LIBRARY_LEVELS = {"nats": logging.WARNING, "asyncio": logging.WARNING}
"""Lowest levels of the libraries' loggers; at debug level they would log every wake-up."""
FALSE_ALARMS = ("returning true from eof_received() has no effect when using ssl",)
"""Warnings of asyncio at the end of every TLS connection, without meaning."""


def configure(options: LogOptions, slot: str | None = None) -> None:
    """
    Make this process log to stderr; called once in the parent and again in each child.

    Args:
        options: Level and format.
        slot: Slot of a worker, which each of its lines carries; None in the supervisor.
    """
    root = logging.getLogger()
    root.handlers[:] = [StderrHandler(options.format, slot)]
    root.setLevel(LEVELS[options.level])
    for name, level in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("asyncio").addFilter(_is_no_false_alarm)


def set_options(level: str, form: str | None = None) -> None:
    """
    Change the options of a running process.

    Args:
        level: One of `LEVELS`.
        form: `json`, `text` or `auto`; None to leave the format unchanged.
    """
    logging.getLogger().setLevel(LEVELS[level])
    for handler in _handlers():
        if form is not None:
            handler.set_format(form)


def write_summaries(last: bool = False) -> None:
    """
    Write the summaries of repeated lines that are due; called about once a second.

    Args:
        last: Write all summaries, because the process is about to exit.
    """
    for handler in _handlers():
        handler.write_summaries(math.inf if last else clock.now_ns() / 1e9)


def _handlers() -> "list[StderrHandler]":
    """Return the handlers that `configure` installed; none in a test that does not call it."""
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, StderrHandler)]


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    return record.getMessage() not in FALSE_ALARMS


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether systemd connected a stream to the journal. Source: systemd.exec(5), JOURNAL_STREAM."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _set_append(stream: TextIO) -> None:
    """Set O_APPEND if stderr is a file, so that the file has no hole after logrotate truncates it."""
    try:
        fd = stream.fileno()
        if stat.S_ISREG(os.fstat(fd).st_mode):
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    except (OSError, ValueError):
        return


class StderrHandler(logging.StreamHandler[TextIO]):
    """
    Writes the lines of one process to stderr, with repeated lines rate-limited.

    Args:
        form: `json`, `text` or `auto`.
        slot: As in `configure`.
    """

    def __init__(self, form: str, slot: str | None) -> None:
        super().__init__(cast(TextIO, log_stream(sys.stderr)))
        self._slot = slot
        self._lost_reported = 0
        self._limiter = LogRateLimiter()
        self._to_journal = _is_journal(sys.stderr, os.environ)
        _set_append(sys.stderr)
        self.set_format(form)

    def set_format(self, form: str) -> None:
        """Use another format from the next line on."""
        as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
        self.setFormatter(JsonFormatter(self._slot) if as_json else TextFormatter(self._slot))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless it is rate-limited."""
        if self._limiter.allows(record):
            lost = self._lost()
            super().emit(record)
            if self._lost() == lost > self._lost_reported:
                self._report_lost(lost)

    def _lost(self) -> int:
        return self.stream.lost if isinstance(self.stream, StderrWriter) else 0

    def _report_lost(self, lost: int) -> None:
        """Log how many lines were lost, now that lines can be written again."""
        event = "log lines were lost: stderr could not be written"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, event, None, None)
        record.lines = lost - self._lost_reported
        super().emit(record)
        if self._lost() == lost:
            self._lost_reported = lost

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record; for journald each of its lines starts with the priority."""
        text = super().format(record)
        if not self._to_journal:
            return text
        prefix = f"<{PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in text.split("\n"))

    def write_summaries(self, now_s: float) -> None:
        """Write the summaries that are due; seconds since 1970."""
        self.acquire()
        try:
            for record in self._limiter.summaries(now_s):
                super().emit(record)
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # defined by logging
        """Ignore errors: a full disk or a missing reader must not end the process."""


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that a log call passed in `extra`."""
    return {name: value for name, value in vars(record).items() if name not in STANDARD_FIELDS}


class JsonFormatter(logging.Formatter):
    """`{"time": "…Z", "level": "info", "slot": "NETFLOW/0", "event": "batch written", "rows": 100}`."""

    def __init__(self, slot: str | None) -> None:
        super().__init__()
        self._slot = {"slot": slot} if slot else {}

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line of JSON; values of other types are converted to strings."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), **self._slot}
        line["event"] = record.getMessage()
        line.update(extra_fields(record))
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return printable_json(json.dumps(line, default=str, ensure_ascii=False))


class TextFormatter(logging.Formatter):
    """`12:03:04.120 INFO    NETFLOW/0: batch written rows=100`."""

    def __init__(self, slot: str | None) -> None:
        super().__init__()
        self._slot = slot

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line, followed by its traceback if it has one."""
        extra = extra_fields(record)
        slot = extra.pop("slot", None) or self._slot or "supervisor"
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")[11:23]
        parts = [f"{time} {record.levelname:<7} {slot}: {record.getMessage()}"]
        parts += [f"{name}={value}" for name, value in extra.items()]
        line = printable_line(" ".join(parts))
        if record.exc_info:
            line += "\n" + printable("".join(traceback.format_exception(*record.exc_info))).rstrip()
        return line


BURST = 5
"""Lines of one event and slot that are written in an interval; the rest of the interval's lines are counted."""
INTERVAL_S = 10.0
"""Interval of the rate limit."""
EVENTS_MAX = 1000
"""Most events remembered; the program has about fifty, and the supervisor logs them for each slot."""

Key = tuple[int, str, object]
"""Level, event and slot."""


@dataclass(slots=True)
class EventInterval:
    """
    Current interval of one event.

    Attributes:
        started_s: Seconds since 1970.
        written: Number of lines written.
        suppressed: Number of lines suppressed.
        last: The newest suppressed line.
    """

    started_s: float
    written: int = 0
    suppressed: int = 0
    last: logging.LogRecord | None = None


class LogRateLimiter:
    """Limits how often the same event is logged. Written by the log handler of one process, under its lock."""

    def __init__(self) -> None:
        self._intervals: dict[Key, EventInterval] = {}

    def allows(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record now; suppressed records are summarized by `summaries`."""
        if record.levelno <= logging.DEBUG:
            return True
        key = (record.levelno, str(record.msg), vars(record).get("slot"))
        interval = self._intervals.get(key)
        if interval is None:
            if len(self._intervals) >= EVENTS_MAX:
                self._intervals.clear()
            interval = self._intervals[key] = EventInterval(record.created)
        if interval.written < BURST:
            interval.written += 1
            return True
        interval.suppressed, interval.last = interval.suppressed + 1, record
        return False

    def summaries(self, now_s: float) -> Iterator[logging.LogRecord]:
        """
        Yield the newest suppressed record of each interval that has ended, with their number as `repeated`.

        Args:
            now_s: Time on the clock of the records: seconds since 1970.
        """
        for key, interval in list(self._intervals.items()):
            if now_s - interval.started_s < INTERVAL_S and now_s >= interval.started_s:
                continue
            if interval.last is None:
                del self._intervals[key]
                continue
            yield logging.makeLogRecord({**vars(interval.last), "repeated": interval.suppressed})
            # The event continues: in the next interval all its lines are suppressed.
            interval.started_s, interval.suppressed, interval.last = now_s, 0, None

"""
Log lines: one JSON object a line for machines, one short sentence a line for a terminal.

What is logged is a change of state or a batch, never a message. Fields travel in
`extra`; the supervisor and every worker write to the stderr they share, each
line with a single write.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Protocol

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


def configure(options: LogOptions, slot: str | None = None) -> None:
    """
    Make this process log to stderr; called once in the parent and again in each child.

    Args:
        options: Level and format.
        slot: The worker's slot, which each of its lines carries; None in the supervisor.
    """
    as_json = options.format == "json" or (options.format == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(slot) if as_json else TextFormatter(slot))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[options.level])


def set_level(level: str) -> None:
    """Change the level of a running process."""
    logging.getLogger().setLevel(LEVELS[level])


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

"""Log lines."""

import json
import logging
import sys
from dataclasses import dataclass

import pytest

from eventwriter.observe.logs import JsonFormatter, TextFormatter, configure


@dataclass(frozen=True)
class Options:
    """Log settings."""

    level: str = "info"
    format: str = "json"


def record(message: str, **extra: object) -> logging.LogRecord:
    """Return a record as a logger makes it."""
    return logging.getLogger("x").makeRecord(
        "x", logging.WARNING, "f.py", 1, message, (), None, extra={"rows": 3, **extra}
    )


def test_json_line_has_time_level_slot_event_and_fields() -> None:
    """A line is one object, its fields beside the fixed keys."""
    line = JsonFormatter("NETFLOW/0").format(record("batch written", text="a\nb"))

    said = json.loads(line)
    assert "\n" not in line
    assert said.pop("time").endswith("Z")
    assert {"level": "warning", "slot": "NETFLOW/0", "event": "batch written", "rows": 3, "text": "a\nb"} == said


def test_json_line_survives_values_that_json_does_not_know() -> None:
    """A field of any type becomes its text; a log call never fails for it."""
    said = json.loads(JsonFormatter(None).format(record("x", what={1, 2}, raw=b"\xff")))

    assert ("{1, 2}", "b'\\xff'") == (said["what"], said["raw"])


def test_json_line_carries_its_traceback() -> None:
    """An exception is part of its line, not lines after it."""
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        broken = logging.getLogger("x").makeRecord("x", logging.ERROR, "f.py", 1, "broke", (), sys.exc_info())

    line = JsonFormatter(None).format(broken)

    assert "\n" not in line
    assert "RuntimeError: boom" in json.loads(line)["traceback"]


def test_text_line_reads_from_left_to_right() -> None:
    """The text form has time, level, slot, event and fields on one line."""
    line = TextFormatter("LOGS/0").format(record("written\nagain"))

    assert "WARNING LOGS/0: written again rows=3" == line[13:]


def test_slot_of_a_supervisors_line_is_the_one_it_speaks_of() -> None:
    """A line of the supervisor about a slot carries that slot."""
    assert "LOGS/0" == json.loads(JsonFormatter(None).format(record("x", slot="LOGS/0")))["slot"]
    assert "LOGS/0: x" in TextFormatter(None).format(record("x", slot="LOGS/0"))


def test_configure_twice_logs_once(capfd: pytest.CaptureFixture[str]) -> None:
    """A child that configures again does not write its lines twice, and the level holds."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        configure(Options())
        configure(Options(level="warning"), "A/0")
        logging.getLogger("x").info("not shown")
        logging.getLogger("x").warning("shown")
    finally:
        root.handlers[:], root.level = before

    lines = capfd.readouterr().err.splitlines()
    assert ["shown"] == [json.loads(line)["event"] for line in lines]
    assert "A/0" == json.loads(lines[0])["slot"]

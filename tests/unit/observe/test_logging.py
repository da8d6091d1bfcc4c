"""Log lines: formats, journald, and changes while the process runs."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from eventwriter.observe import logging as logs
from eventwriter.observe.logging import BURST, JsonFormatter, TextFormatter, configure


@dataclass(frozen=True)
class Options:
    """Options of the log."""

    level: str = "info"
    format: str = "json"


def record(message: str, **extra: object) -> logging.LogRecord:
    """Return a record as a logger creates it."""
    return logging.getLogger("x").makeRecord(
        "x", logging.WARNING, "f.py", 1, message, (), None, extra={"rows": 3, **extra}
    )


def test_json_line_has_time_level_slot_event_and_fields() -> None:
    """A line is one JSON object with the fixed keys and the fields of the call."""
    line = JsonFormatter("NETFLOW/0").format(record("batch written", text="a\nb"))

    parsed = json.loads(line)
    assert "\n" not in line
    assert parsed.pop("time").endswith("Z")
    assert {
        "level": "warning",
        "slot": "NETFLOW/0",
        "event": "batch written",
        "rows": 3,
        "text": "a\nb",
    } == parsed


def test_json_line_converts_unsupported_values() -> None:
    """A field of any type is converted to a string, so a log call never fails."""
    parsed = json.loads(JsonFormatter(None).format(record("x", what={1, 2}, raw=b"\xff")))

    assert ("{1, 2}", "b'\\xff'") == (parsed["what"], parsed["raw"])


def test_json_line_carries_its_traceback() -> None:
    """A traceback is part of the JSON object, not written on lines after it."""
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        broken = logging.getLogger("x").makeRecord("x", logging.ERROR, "f.py", 1, "broke", (), sys.exc_info())

    line = JsonFormatter(None).format(broken)

    assert "\n" not in line
    assert "RuntimeError: boom" in json.loads(line)["traceback"]


def test_text_line_has_time_level_slot_event_and_fields() -> None:
    """The text format writes time, level, slot, event and fields on one line."""
    line = TextFormatter("LOGS/0").format(record("written\nagain"))

    assert "WARNING LOGS/0: written again rows=3" == line[13:]


def test_slot_in_extra_replaces_the_slot_of_the_process() -> None:
    """A line of the supervisor about a slot carries the name of that slot."""
    assert "LOGS/0" == json.loads(JsonFormatter(None).format(record("x", slot="LOGS/0")))["slot"]
    assert "LOGS/0: x" in TextFormatter(None).format(record("x", slot="LOGS/0"))


def test_configure_twice_writes_lines_once(capfd: pytest.CaptureFixture[str]) -> None:
    """A child that configures again does not write its lines twice, and uses the new level."""
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


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, restored after the test."""
    logger = logging.getLogger()
    before = (logger.handlers[:], logger.level)
    yield logger
    logger.handlers[:], logger.level = before


def lines_in(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().err.splitlines()


def test_lines_to_the_journal_start_with_their_priority(
    root: logging.Logger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If stderr is the journal, each line, including those of a traceback, starts with its syslog priority."""
    status = os.fstat(sys.stderr.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    configure(Options(level="debug", format="text"))
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("x"), level)("level %s", level)
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("x").exception("broke")

    lines = lines_in(capfd)
    assert ["<7>", "<6>", "<4>", "<3>"] == [line[:3] for line in lines[:4]]
    assert len(lines) > 6
    assert {"<3>"} == {line[:3] for line in lines[4:]}


@pytest.mark.parametrize("value", ["", "1:1", "8:x"])
def test_lines_to_other_streams_have_no_priority(
    value: str, root: logging.Logger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If stderr is not the stream in JOURNAL_STREAM, lines have no priority."""
    monkeypatch.setenv("JOURNAL_STREAM", value)
    configure(Options())
    logging.getLogger("x").error("plain")

    assert "plain" == json.loads(lines_in(capfd)[0])["event"]


def test_repeated_lines_are_summarized(
    root: logging.Logger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hundred equal lines the burst is written, and one summary with the number of the others."""
    configure(Options())
    for n in range(100):
        logging.getLogger("x").warning("nats error", extra={"n": n})
    logs.write_summaries()
    before = lines_in(capfd)
    logs.write_summaries(last=True)
    (last,) = map(json.loads, lines_in(capfd))

    assert list(range(BURST)) == [json.loads(line)["n"] for line in before]
    assert (99, 100 - BURST) == (last["n"], last["repeated"])


def test_library_noise_is_not_written(root: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    """At debug level the debug lines of libraries are not written, and asyncio's false alarm never is."""
    configure(Options(level="debug"))
    logging.getLogger("eventwriter.x").debug("ours")
    logging.getLogger("asyncio").debug("Using selector: EpollSelector")
    logging.getLogger("nats.aio.client").debug("ping")
    logging.getLogger("asyncio").warning("returning true from eof_received() has no effect when using ssl")
    logging.getLogger("asyncio").warning("something else")

    assert ["ours", "something else"] == [json.loads(line)["event"] for line in lines_in(capfd)]


def test_options_change_level_and_format(root: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    """A change of level or format applies from the next line on; without a format, the format stays."""
    configure(Options(), "A/0")
    logging.getLogger("x").debug("not yet")
    logs.set_options("debug")
    logging.getLogger("x").debug("as JSON")
    logs.set_options("debug", "text")
    logging.getLogger("x").debug("as text")

    first, second = lines_in(capfd)
    assert ("as JSON", "A/0") == (json.loads(first)["event"], json.loads(first)["slot"])
    assert second.endswith("DEBUG   A/0: as text")


def test_truncated_file_gets_no_hole(tmp_path: Path) -> None:
    """After a copytruncate, lines are appended at the new end, although the shell opened the file without append."""
    script = (
        "import logging, os\n"
        "from eventwriter.observe.logging import configure\n"
        "from eventwriter.config.settings import LogSettings\n"
        "configure(LogSettings())\n"
        "logging.warning('one'); os.truncate('log', 0); logging.warning('two')\n"
    )
    with (tmp_path / "log").open("wb") as log:  # without O_APPEND
        subprocess.run([sys.executable, "-c", script], stderr=log, cwd=tmp_path, check=True)

    content = (tmp_path / "log").read_bytes()
    assert b"{" == content[:1]
    assert "two" == json.loads(content)["event"]


def test_unwritable_stderr_does_not_end_the_process(tmp_path: Path) -> None:
    """Lines that cannot be written are lost, and the process continues."""
    script = (
        "import logging, sys\n"
        "from eventwriter.observe.logging import configure\n"
        "from eventwriter.config.settings import LogSettings\n"
        "configure(LogSettings())\n"
        "for n in range(3): logging.error('line %d', n)\n"
        "print('continued')\n"
    )
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stderr=full, stdout=subprocess.PIPE, check=False, cwd=tmp_path
        )

    assert b"continued\n" == done.stdout

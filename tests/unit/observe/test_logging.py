"""Log lines."""

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


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, given back as it was."""
    found = logging.getLogger()
    before = (found.handlers[:], found.level)
    yield found
    found.handlers[:], found.level = before


def said(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().err.splitlines()


def test_lines_for_the_journal_begin_with_their_priority(
    root: logging.Logger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where stderr is journald's, each line, also of a traceback, carries syslog's number of its level."""
    found = os.fstat(sys.stderr.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    configure(Options(level="debug", format="text"))
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("x"), level)("it is %s", level)
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("x").exception("broke")

    lines = said(capfd)
    assert ["<7>", "<6>", "<4>", "<3>"] == [line[:3] for line in lines[:4]]
    assert len(lines) > 6
    assert {"<3>"} == {line[:3] for line in lines[4:]}


@pytest.mark.parametrize("value", ["", "1:1", "8:x"])
def test_lines_for_anything_else_have_no_priority(
    value: str, root: logging.Logger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon of systemd's whose stderr was sent elsewhere writes plain lines."""
    monkeypatch.setenv("JOURNAL_STREAM", value)
    configure(Options())
    logging.getLogger("x").error("plain")

    assert "plain" == json.loads(said(capfd)[0])["event"]


def test_repeats_are_told_by_their_number(
    root: logging.Logger, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a hundred equal lines the first are written, and at the end one that says how many there were more."""
    configure(Options())
    for n in range(100):
        logging.getLogger("x").warning("nats error", extra={"n": n})
    logs.tick()
    before = said(capfd)
    logs.tick(last=True)
    (last,) = map(json.loads, said(capfd))

    assert list(range(BURST)) == [json.loads(line)["n"] for line in before]
    assert (99, 100 - BURST) == (last["n"], last["repeated"])


def test_noise_of_libraries_is_left_out(root: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    """At debug our own lines are shown, not those of asyncio's selectors; its known false alarm never is."""
    configure(Options(level="debug"))
    logging.getLogger("eventwriter.x").debug("ours")
    logging.getLogger("asyncio").debug("Using selector: EpollSelector")
    logging.getLogger("nats.aio.client").debug("ping")
    logging.getLogger("asyncio").warning("returning true from eof_received() has no effect when using ssl")
    logging.getLogger("asyncio").warning("something else")

    assert ["ours", "something else"] == [json.loads(line)["event"] for line in said(capfd)]


def test_level_and_form_change_while_running(root: logging.Logger, capfd: pytest.CaptureFixture[str]) -> None:
    """An operator's change holds from the next line on; without a form that stays."""
    configure(Options(), "A/0")
    logging.getLogger("x").debug("not yet")
    logs.change("debug")
    logging.getLogger("x").debug("as JSON")
    logs.change("debug", "text")
    logging.getLogger("x").debug("as text")

    first, second = said(capfd)
    assert ("as JSON", "A/0") == (json.loads(first)["event"], json.loads(first)["slot"])
    assert second.endswith("DEBUG   A/0: as text")


def test_file_that_is_cut_short_gets_no_hole(tmp_path: Path) -> None:
    """After a copytruncate the log goes on at the file's new end, though the shell opened it without append."""
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


def test_reader_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    """A log that cannot be written is lost; the process goes on, and says nothing more about it."""
    script = (
        "import logging, sys\n"
        "from eventwriter.observe.logging import configure\n"
        "from eventwriter.config.settings import LogSettings\n"
        "configure(LogSettings())\n"
        "for n in range(3): logging.error('to nobody %d', n)\n"
        "print('went on')\n"
    )
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stderr=full, stdout=subprocess.PIPE, check=False, cwd=tmp_path
        )

    assert b"went on\n" == done.stdout

"""Options and screen of the demo."""

import io
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from eventwriter.cli.demo import DEFAULT_KINDS, Screen, brief, parse_duration, parse_kinds, program, stop_publisher
from eventwriter.errors import Fatal
from eventwriter.kinds.registry import KINDS

SLOT: dict[str, Any] = {
    "name": "TELEMETRY/0", "state": "running", "rows_per_s": 1234.5, "rows_total": 9876, "dead_letters_total": 3,
    "lag_messages": 12,
}  # fmt: skip


def test_kinds_keep_their_order_without_repetitions() -> None:
    """Kinds keep their order; white space and repetitions are dropped."""
    assert ("netflow", "telemetry") == parse_kinds(" netflow, telemetry,,netflow")


def test_all_kinds() -> None:
    """`all` selects every kind that has sample traffic."""
    assert {"telemetry", "netflow"} <= set(parse_kinds("all")) <= set(KINDS)
    assert set(parse_kinds(DEFAULT_KINDS)) <= set(parse_kinds("all"))


@pytest.mark.parametrize("text", ["", ",", "nothing", "telemetry,nothing"])
def test_unknown_kinds_are_rejected(text: str) -> None:
    """An empty list or an unknown kind is rejected with the available kinds."""
    with pytest.raises(Fatal, match="allowed are all, or a list of telemetry, netflow"):
        parse_kinds(text)


@pytest.mark.parametrize(("text", "expected_s"), [(None, float("inf")), ("20s", 20.0), ("1m30s", 90.0), ("5", 5.0)])
def test_duration(text: str | None, expected_s: float) -> None:
    """A duration without a unit is in seconds; without the option it is infinite."""
    assert expected_s == parse_duration(text)


@pytest.mark.parametrize("text", ["soon", "0s", "-3s", ""])
def test_invalid_duration_is_rejected(text: str) -> None:
    """A text that is not a duration above 0 is rejected and quoted."""
    with pytest.raises(Fatal, match=f"--duration '{text}'"):
        parse_duration(text)


def test_program_outside_path_is_given_by_its_path(tmp_path: Any) -> None:
    """A program that is not on PATH is given by its quoted path, or by its name if the file is missing."""
    beside = tmp_path / "with space" / "no-such-program"
    assert "no-such-program" == program("no-such-program", beside)
    beside.parent.mkdir()
    beside.touch()

    assert f"'{beside}'" == program("no-such-program", beside)
    assert "sh" == program("sh", beside)


def test_screen_without_terminal_prints_one_line_per_snapshot() -> None:
    """Without a terminal, a snapshot is one unwrapped line without control characters."""
    out = io.StringIO()
    with Screen(Console(file=out, width=40)) as screen:
        screen.show({"slots": [SLOT, SLOT]})
        screen.add_line("chaos: killed [A]/0")

    slot = "TELEMETRY/0 running     1,234 rows/s  9,876 rows  3 dead  lag 12"
    assert [f"{slot}  {slot}", "chaos: killed [A]/0"] == out.getvalue().splitlines()


def test_unknown_lag_is_a_dash() -> None:
    """A slot without a known lag shows a dash."""
    assert brief({**SLOT, "lag_messages": None}).endswith("lag –")


def test_publisher_that_ignores_sigterm_is_killed() -> None:
    """A publisher that ignores SIGTERM is killed after the limit, and the error says so."""
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        with pytest.raises(Fatal, match=r"the publisher did not exit within 0\.2 s and was killed"):
            stop_publisher(process, 0.2)

        assert -9 == process.wait(5)

"""The demo's options and its screen."""

import io
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from eventwriter.cli.demo import DEFAULT_KINDS, Screen, brief, chosen, end_publisher, program, read_duration
from eventwriter.errors import Fatal
from eventwriter.kinds.registry import KINDS

SLOT: dict[str, Any] = {
    "name": "TELEMETRY/0", "state": "running", "rows_per_s": 1234.5, "rows_total": 9876, "dead_letters_total": 3,
    "lag_messages": 12,
}  # fmt: skip


def test_kinds_are_read_in_their_order_and_once() -> None:
    """Kinds are taken in the order given, with white space and repetitions left out."""
    assert ("netflow", "telemetry") == chosen(" netflow, telemetry,,netflow")


def test_all_kinds() -> None:
    """`all` means every kind that both the demo and this version have."""
    assert {"telemetry", "netflow"} <= set(chosen("all")) <= set(KINDS)
    assert set(chosen(DEFAULT_KINDS)) <= set(chosen("all"))


@pytest.mark.parametrize("text", ["", ",", "nothing", "telemetry,nothing"])
def test_kinds_that_cannot_be_made_are_refused(text: str) -> None:
    """No kind, or an unknown one, is refused with those that there are."""
    with pytest.raises(Fatal, match="the demo can make all, or of these: telemetry, netflow"):
        chosen(text)


@pytest.mark.parametrize(("text", "expected_s"), [(None, float("inf")), ("20s", 20.0), ("1m30s", 90.0), ("5", 5.0)])
def test_duration(text: str | None, expected_s: float) -> None:
    """A duration is read with its unit, seconds without; absent it is without end."""
    assert expected_s == read_duration(text)


@pytest.mark.parametrize("text", ["soon", "0s", "-3s", ""])
def test_duration_that_is_none_is_refused(text: str) -> None:
    """What is no duration above 0 is refused with what was written."""
    with pytest.raises(Fatal, match=f"--duration '{text}'"):
        read_duration(text)


def test_program_off_the_path_is_told_with_its_place(tmp_path: Any) -> None:
    """A program that is not on PATH is told by its place, quoted for a shell; without a place by its name."""
    beside = tmp_path / "with space" / "no-such-program"
    assert "no-such-program" == program("no-such-program", beside)
    beside.parent.mkdir()
    beside.touch()

    assert f"'{beside}'" == program("no-such-program", beside)
    assert "sh" == program("sh", beside)


def test_screen_without_a_terminal_is_a_line_for_each_snapshot() -> None:
    """Where output is not a terminal, a snapshot is one unbroken line without control characters."""
    out = io.StringIO()
    with Screen(Console(file=out, width=40)) as screen:
        screen.show({"slots": [SLOT, SLOT]})
        screen.say("chaos: killed [A]/0")

    slot = "TELEMETRY/0 running     1,234 rows/s  9,876 rows  3 dead  lag 12"
    assert [f"{slot}  {slot}", "chaos: killed [A]/0"] == out.getvalue().splitlines()


def test_lag_that_is_not_known_is_a_dash() -> None:
    """A slot whose worker has just begun has no lag yet, and shows none."""
    assert brief({**SLOT, "lag_messages": None}).endswith("lag –")


def test_publisher_that_does_not_end_is_killed() -> None:
    """A publisher that SIGTERM does not end is killed after the limit, and that is said."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        with pytest.raises(Fatal, match=r"the publisher did not end within 0\.2 s, and was killed"):
            end_publisher(process, 0.2)

        assert -9 == process.wait(5)

"""The wall clock may step at any moment; so it decides nothing in what moves messages."""

import re
from pathlib import Path

from eventwriter import clock

PACKAGE = Path(__file__).resolve().parents[2] / "eventwriter"
MOVING = ("control", "jetstream", "pipeline", "postgres", "supervisor", "tables", "formats", "worker")

SHOWN = {
    "supervisor/main.py": "when the daemon began",
    "supervisor/workers.py": "when a worker's last error was",
    "supervisor/status.py": "how old the last error is",
    "supervisor/verbs.py": "when a slot was paused",
    "pipeline/copy_stage.py": "when the last commit was",
    "worker/status.py": "when the last error was",
    "worker/heartbeat.py": "how old the oldest message is: its timestamp is JetStream's wall clock",
    "worker/partitions.py": "when tables were last looked at",
    "jetstream/stream_stats.py": "the time of a look, where the server does not tell its own",
}
"""Who reads it, to show it to people."""
DECIDES = {
    "postgres/partitions/run.py": "which time partitions are to be made, or are over: they are cut by wall-clock days",
}
"""Who decides by it, and must."""


def readers() -> set[str]:
    """Return the files that read the wall clock."""
    reading = re.compile(r"\bnow_ns\(\)|\btime\.time(_ns)?\(|datetime\.(now|utcnow|today)\(")
    files = [path for name in MOVING for path in (PACKAGE / name).rglob("*.py")]
    return {path.relative_to(PACKAGE).as_posix() for path in files if reading.search(path.read_text())}


def test_wall_clock_is_only_shown() -> None:
    """Timeouts, backoffs, batches' ages, health: all by the monotonic clock. Whoever reads the other one is listed."""
    assert set() == readers() - SHOWN.keys() - DECIDES.keys()


def test_monotonic_clock_does_not_go_backwards() -> None:
    """What durations are measured with."""
    readings = [clock.monotonic_s() for _ in range(1000)]

    assert sorted(readings) == readings

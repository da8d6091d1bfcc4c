"""`eventwriter demo` as a new user runs it: output, audit, interruption and cleanup."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from eventwriter.control.client import Client
from eventwriter.demo.servers import EmbeddedServers

WAIT_S = 60.0
AUDIT = re.compile(r"published=(\d+) rows=(\d+) dead_letters=(\d+) lost=(-?\d+) duplicated=(-?\d+)$")
SHORT = ("--duration", "2s", "--rate", "600")


def command(*arguments: str) -> list[str]:
    """Return the demo's command line."""
    return [sys.executable, "-m", "eventwriter", "demo", *arguments]


def figures(line: str) -> list[int]:
    """Return the figures of an audit line: published, rows, dead letters, lost and duplicated."""
    found = AUDIT.search(line)
    assert found is not None, line
    return [int(figure) for figure in found.groups()]


def run_demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a demo to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether a condition becomes true in time."""
    until = time.monotonic() + WAIT_S
    while not (result := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return result


def processes_of(folder: Path) -> list[str]:
    """Return the processes with this folder on their command line, as all processes of a demo have."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (entry / "cmdline").read_bytes()
            if bytes(folder) in arguments and entry.name != str(os.getpid()):
                found.append(arguments.replace(b"\0", b" ").decode())
    return found


class Demo:
    """A running demo in its own process group, as in a terminal; its output is read line by line."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        self.output: list[str] = []

    def line(self, pattern: str) -> str:
        """Read until a line matches, and return the last group of the match."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip())
            if found := re.search(pattern, line.rstrip()):
                return found[found.lastindex or 0]
        raise AssertionError(f"no line matches {pattern!r}: {self.output}")

    def interrupt(self) -> None:
        """Signal the whole process group, as a terminal does for Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        """Read the rest of the output and return the exit code."""
        assert self.process.stdout is not None
        self.output += [line.rstrip() for line in self.process.stdout]
        return self.process.wait(WAIT_S)


Start = Callable[..., Demo]


@pytest.fixture
def start(temporary: Path) -> Iterator[Start]:
    """Function that starts a demo; demos that still run at the end are killed."""
    started: list[Demo] = []

    def start(*arguments: str) -> Demo:
        started.append(Demo(*arguments))
        return started[-1]

    yield start
    for demo in started:
        demo.process.kill()
        demo.process.wait()
        if demo.process.stdout is not None:
            demo.process.stdout.close()


def test_audit_balances_after_chaos(temporary: Path) -> None:
    """A run with --chaos kills workers, shows slots, prints the audit of each stream and the sum, and exits with 0."""
    done = run_demo("--duration", "8s", "--chaos", "--rate", "1000", "--seed", "7")

    lines = done.stdout.splitlines()
    assert (0, "") == (done.returncode, done.stderr)
    assert any(line.startswith("TELEMETRY/0") and "rows/s" in line for line in lines)
    assert 2 <= sum(line.startswith("chaos: killed ") for line in lines)
    assert lines[-1].startswith("audit: published=")
    published, rows, dead, lost, duplicated = figures(lines[-1])
    assert (published, 0, 0) == (rows + dead, lost, duplicated)
    assert published > 4000
    telemetry, netflow = (
        next(line for line in lines if re.match(f"{name} +pub", line)) for name in ("TELEMETRY", "NETFLOW")
    )
    assert figures(lines[-1]) == [a + b for a, b in zip(figures(telemetry), figures(netflow), strict=True)]
    assert [] == list(temporary.iterdir())


def test_printed_commands_work_in_a_shell(start: Start) -> None:
    """The printed commands for psql and eventwriter-ctl work in a shell."""
    demo = start("--rate", "500", "--kinds", "telemetry")
    psql = demo.line(r"^PostgreSQL +(psql .*|.*/psql .*)$")
    ctl = demo.line(r"^status +(.*eventwriter-ctl .*)$")
    demo.line(r"TELEMETRY/0 running")

    rows = subprocess.run(
        ["bash", "-c", f"{psql} -Atc 'SELECT count(*) > 0 FROM timeseries_metrics'"], capture_output=True
    )
    status = subprocess.run(["bash", "-c", ctl], capture_output=True, text=True)

    assert (0, b"t\n", b"") == (rows.returncode, rows.stdout, rows.stderr)
    assert 0 == status.returncode
    assert "TELEMETRY/0" in status.stdout
    demo.interrupt()
    assert 0 == demo.end()


def test_failed_audit_exits_with_1(temporary: Path) -> None:
    """A deleted and a duplicated row show in the audit of their streams, and the exit code is 1."""
    folder = temporary / "kept"
    first = run_demo(*SHORT, "--data-dir", str(folder))
    with EmbeddedServers(folder) as servers, psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("DELETE FROM timeseries_metrics WHERE metadata->>'n' = '100'")
        conn.execute("CREATE TABLE once AS SELECT * FROM ocsf_network_activity LIMIT 1")
        conn.execute("UPDATE once SET id = gen_random_uuid()")
        conn.execute("INSERT INTO ocsf_network_activity SELECT * FROM once")

    second = run_demo(*SHORT, "--data-dir", str(folder))

    assert (0, 1) == (first.returncode, second.returncode)
    lines = second.stdout.splitlines()
    assert [1, 0] == figures(next(line for line in lines if re.match("TELEMETRY +pub", line)))[3:]
    assert [0, 1] == figures(next(line for line in lines if re.match("NETFLOW +pub", line)))[3:]
    assert [1, 1] == figures(lines[-1])[3:]
    assert lines[-1].startswith("audit: ")


def test_kept_data_is_continued(temporary: Path) -> None:
    """`--keep` prints the folder with the data; a second run with this folder continues, and its audit balances."""
    first = run_demo(*SHORT, "--keep")
    folder = re.search(r"--data-dir (\S+)", first.stderr)
    assert folder is not None

    second = run_demo(*SHORT, "--data-dir", folder[1], "--kinds", "netflow")

    assert (0, 0) == (first.returncode, second.returncode)
    before = figures(next(line for line in first.stdout.splitlines() if line.startswith("NETFLOW ")))
    assert before[0] < figures(second.stdout.splitlines()[-1])[0]


@pytest.mark.parametrize(("when", "after_s"), [("NATS ", 0.1), ("NATS ", 0.5), ("TELEMETRY/0 running", 0.5)])
def test_interrupted_demo_prints_the_audit(start: Start, temporary: Path, when: str, after_s: float) -> None:
    """Ctrl-C stops the publisher; published messages are written and audited, and no process or folder remains."""
    demo = start("--rate", "500", "--kinds", "telemetry")
    demo.line(f"^{when}")
    time.sleep(after_s)

    demo.interrupt()

    assert demo.end() in ((0,) if when != "NATS " else (0, 130))
    assert not any("Traceback" in line for line in demo.output)
    if when != "NATS ":
        assert demo.output[-1].startswith("audit: published=")
    assert [] == processes_of(temporary)
    assert [] == list(temporary.iterdir())


def test_second_interrupt_skips_the_audit(start: Start, temporary: Path) -> None:
    """A second Ctrl-C while the backlog is written ends the demo with exit code 130, and nothing remains."""
    demo = start("--rate", "500", "--kinds", "telemetry")
    socket = demo.line(r"--socket (\S+) status$")
    demo.line("TELEMETRY/0 running")
    client = Client(socket)
    os.kill(client.call("status")["slots"][0]["pid"], signal.SIGSTOP)
    client.close()
    time.sleep(0.3)

    demo.interrupt()
    demo.line("not written yet")
    demo.interrupt()

    assert 130 == demo.end()
    assert not any(line.startswith("audit: ") for line in demo.output)
    assert [] == processes_of(temporary)
    assert [] == list(temporary.iterdir())


def abandoned_segments() -> set[str]:
    """Return the System V shared memory segments without attached processes whose creator has exited."""
    found = set()
    for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
        _key, number, _mode, _bytes, creator, _last, attached, *_ = line.split()
        if attached == "0" and not Path(f"/proc/{creator}").exists():
            found.add(f"{number} of {creator}")
    return found


@pytest.mark.parametrize("after_s", [0, 0.1, 0.2, 0.3, 0.8])
def test_interrupted_start_leaves_nothing(start: Start, temporary: Path, after_s: float) -> None:
    """Two Ctrl-C while the servers start end the demo without a traceback; no process, folder or memory remains."""
    before = abandoned_segments()
    demo = start("--kinds", "telemetry")
    assert eventually(lambda: any(temporary.iterdir()))
    time.sleep(after_s)

    demo.interrupt()
    demo.interrupt()

    # The second signal may arrive while Python shuts down, and then terminates it.
    assert demo.end() in (0, 130, -signal.SIGINT)
    assert not any("Traceback" in line for line in demo.output)
    assert [] == processes_of(temporary)
    assert [] == list(temporary.iterdir())
    assert set() == abandoned_segments() - before


def test_killed_demo_leaves_no_process(start: Start, temporary: Path) -> None:
    """Servers, daemon, workers and publisher exit when the demo is killed."""
    demo = start("--rate", "500", "--kinds", "telemetry", "--chaos")
    demo.line("TELEMETRY/0 running")
    assert eventually(lambda: 4 <= len(processes_of(temporary)))  # chaos may have just killed the worker

    demo.process.kill()
    demo.process.wait()

    assert eventually(lambda: [] == processes_of(temporary))


@pytest.mark.parametrize(("binary", "name"), [("nats-server", "nats"), ("postgres", "postgres")])
def test_killed_server_ends_the_demo(start: Start, temporary: Path, binary: str, name: str) -> None:
    """When one of its servers is killed, the demo names it and exits with 2, and no process remains."""
    demo = start("--rate", "500", "--kinds", "telemetry")
    demo.line("TELEMETRY/0 running")

    os.kill(pid_of(binary, temporary), signal.SIGKILL)

    assert 2 == demo.end()
    assert any(f"the {name} server" in line and "-9" in line for line in demo.output)
    assert eventually(lambda: [] == processes_of(temporary))


def pid_of(binary: str, folder: Path) -> int:
    """Return the process that runs this binary with this folder on its command line."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if os.path.basename(arguments[0]) == binary.encode() and bytes(folder) in b" ".join(arguments):
                return int(entry.name)
    raise AssertionError(f"no process of {binary} uses {folder}")


def test_terminal_is_restored(temporary: Path) -> None:
    """On a terminal the table is drawn in place; after Ctrl-C the cursor is restored and the audit is the last line."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", COLUMNS="80", LINES="40")
        os.execv(sys.executable, command("--rate", "500", "--kinds", "telemetry"))
    screen, interrupted = b"", False
    with contextlib.suppress(OSError):  # read(2) fails once the other side of the terminal is closed
        while block := os.read(terminal, 65536):
            screen += block
            if not interrupted and b"healthy" in screen:
                interrupted = True
                os.write(terminal, b"\x03")
    os.close(terminal)
    _, status = os.waitpid(pid, 0)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert screen.count(b"\x1b[?25l") == screen.count(b"\x1b[?25h")
    assert screen.rfind(b"\x1b[?25l") < screen.rfind(b"\x1b[?25h")
    assert screen.splitlines()[-1].startswith(b"audit: published=")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--kinds", "telemetry,nothing"),
            "--kinds 'telemetry,nothing'",
        ),
        (("--duration", "soon"), "--duration 'soon'"),
        (("--duration", "0s"), "--duration '0s'"),
        (("--rate", "0"), "'--rate'"),
        (("--data-dir", "/dev/null/data"), "/dev/null/data"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_invalid_option_is_named(temporary: Path, arguments: tuple[str, ...], message: str) -> None:
    """An invalid option is named in the error message, and the exit code is 2."""
    done = run_demo(*arguments)

    assert (2, "") == (done.returncode, done.stdout)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_environment_of_another_installation_is_ignored(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that name other servers, for the daemon or for libpq, are ignored."""
    for name, value in {
        "EVENT_WRITER_NATS_URL": "nats://192.0.2.1:4222", "EVENT_WRITER_POSTGRES_DSN": "postgresql://192.0.2.1/x",
        "CNPG_HOST": "192.0.2.1", "EVENT_WRITER_CONFIG": "/nowhere.toml", "PGSSLMODE": "verify-full", "PGOPTIONS": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    assert 0 == run_demo(*SHORT).returncode

"""`eventwriter demo` as a newcomer runs it: what it shows, what it proves, and how it ends."""

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

WAIT_S = 30.0
BOOKS = re.compile(r"published=(\d+) rows=(\d+) dead_letters=(\d+) lost=(-?\d+) duplicated=(-?\d+)$")
SHORT = ("--duration", "2s", "--rate", "600")


def command(*arguments: str) -> list[str]:
    """Return the demo's command line."""
    return [sys.executable, "-m", "eventwriter", "demo", *arguments]


def figures(line: str) -> list[int]:
    """Return published, rows, dead letters, lost and duplicated of a line of books."""
    found = BOOKS.search(line)
    assert found is not None, line
    return [int(figure) for figure in found.groups()]


def finished(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a demo to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


def eventually(true: Callable[[], bool]) -> bool:
    """Say whether something becomes true within half a minute."""
    until = time.monotonic() + WAIT_S
    while not (seen := true()) and time.monotonic() < until:
        time.sleep(0.05)
    return seen  # what was so may be otherwise by now


def using(folder: Path) -> list[str]:
    """Return the processes with this folder on their command line; a demo's all have it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if bytes(folder) in words and entry.name != str(os.getpid()):
                found.append(words.replace(b"\0", b" ").decode())
    return found


class Demo:
    """A demo that runs, in a process group of its own as a terminal makes one; what it says is read line by line."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        self.said: list[str] = []

    def line(self, pattern: str) -> str:
        """Read on until a line matches; return the last group of the match."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if found := re.search(pattern, line.rstrip()):
                return found[found.lastindex or 0]
        raise AssertionError(f"{pattern!r} was not said, but: {self.said}")

    def interrupt(self) -> None:
        """Press ^C: the terminal signals the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        """Read the rest and return the exit code."""
        assert self.process.stdout is not None
        self.said += [line.rstrip() for line in self.process.stdout]
        return self.process.wait(WAIT_S)


Start = Callable[..., Demo]


@pytest.fixture
def start(temporary: Path) -> Iterator[Start]:
    """Start demos; whatever is left of them is ended afterwards."""
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


def test_workers_killed_meanwhile_and_the_books_balance(temporary: Path) -> None:
    """A run with chaos kills workers, shows its slots, proves each stream's books and their sum, and exits with 0."""
    done = finished("--duration", "8s", "--chaos", "--rate", "1000", "--seed", "7")

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


def test_lines_to_look_inside_work_when_pasted(start: Start) -> None:
    """The lines for psql and eventwriter-ctl that it prints work in a shell."""
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


def test_books_that_do_not_balance_are_exit_code_1(temporary: Path) -> None:
    """A row that is taken away and one that is there twice show in their streams' books, and the exit code is 1."""
    folder = temporary / "kept"
    first = finished(*SHORT, "--data-dir", str(folder))
    with EmbeddedServers(folder) as servers, psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("DELETE FROM timeseries_metrics WHERE metadata->>'n' = '100'")
        conn.execute("CREATE TABLE once AS SELECT * FROM ocsf_network_activity LIMIT 1")
        conn.execute("UPDATE once SET id = gen_random_uuid()")
        conn.execute("INSERT INTO ocsf_network_activity SELECT * FROM once")

    second = finished(*SHORT, "--data-dir", str(folder))

    assert (0, 1) == (first.returncode, second.returncode)
    lines = second.stdout.splitlines()
    assert [1, 0] == figures(next(line for line in lines if re.match("TELEMETRY +pub", line)))[3:]
    assert [0, 1] == figures(next(line for line in lines if re.match("NETFLOW +pub", line)))[3:]
    assert [1, 1] == figures(lines[-1])[3:]
    assert lines[-1].startswith("audit: ")


def test_kept_data_is_gone_on_with(temporary: Path) -> None:
    """`--keep` leaves the data in a folder that it names; a second run there counts on, and its books balance."""
    first = finished(*SHORT, "--keep")
    folder = re.search(r"the data is in (\S+);", first.stderr)
    assert folder is not None

    second = finished(*SHORT, "--data-dir", folder[1], "--kinds", "netflow")

    assert (0, 0) == (first.returncode, second.returncode)
    assert "messages of earlier runs" in second.stdout
    before = figures(next(line for line in first.stdout.splitlines() if line.startswith("NETFLOW ")))
    assert before[0] < figures(second.stdout.splitlines()[-1])[0]


@pytest.mark.parametrize(("when", "after_s"), [("NATS ", 0.1), ("NATS ", 0.5), ("TELEMETRY/0 running", 0.5)])
def test_interrupted_demo_closes_its_books(start: Start, temporary: Path, when: str, after_s: float) -> None:
    """Ctrl-C stops the publisher; published messages are written and audited, and no process or folder remains."""
    demo = start("--rate", "500", "--kinds", "telemetry")
    demo.line(f"^{when}")
    time.sleep(after_s)

    demo.interrupt()

    assert demo.end() in ((0,) if when != "NATS " else (0, 130))
    assert not any("Traceback" in line for line in demo.said)
    if when != "NATS ":
        assert demo.said[-1].startswith("audit: published=")
    assert [] == using(temporary)
    assert [] == list(temporary.iterdir())


def test_second_interrupt_ends_the_waiting(start: Start, temporary: Path) -> None:
    """^C while the backlog is being written ends the demo at once, with a sentence, exit code 130, and nothing left."""
    demo = start("--rate", "500", "--kinds", "telemetry")
    socket = demo.line(r"--socket (\S+) status$")
    demo.line("TELEMETRY/0 running")
    client = Client(socket)
    os.kill(client.call("status")["slots"][0]["pid"], signal.SIGSTOP)
    client.close()
    time.sleep(0.3)

    demo.interrupt()
    demo.line("publishing has ended; .* not written yet")
    began_s = time.monotonic()
    demo.interrupt()

    assert 130 == demo.end()
    assert "demo: interrupted before the audit" == demo.said[-1]
    assert time.monotonic() - began_s < 10
    assert [] == using(temporary)
    assert [] == list(temporary.iterdir())


def abandoned() -> set[str]:
    """Return the System V segments of the machine that no process has, and whose creator is gone."""
    found = set()
    for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]:
        _key, number, _mode, _bytes, creator, _last, attached, *_ = line.split()
        if attached == "0" and not Path(f"/proc/{creator}").exists():
            found.add(f"{number} of {creator}")
    return found


@pytest.mark.parametrize("after_s", [0, 0.1, 0.2, 0.3, 0.8])
def test_interrupted_start_leaves_nothing(start: Start, temporary: Path, after_s: float) -> None:
    """^C, even twice, while the servers start ends them; no process, folder or memory is left, and no traceback."""
    before = abandoned()
    demo = start("--kinds", "telemetry")
    assert eventually(lambda: any(temporary.iterdir()))
    time.sleep(after_s)

    demo.interrupt()
    demo.interrupt()

    # The second may come when Python itself is ending, and then ends it.
    assert demo.end() in (0, 130, -signal.SIGINT)
    assert not any("Traceback" in line for line in demo.said)
    assert [] == using(temporary)
    assert [] == list(temporary.iterdir())
    assert set() == abandoned() - before


def test_killed_demo_takes_everything_along(start: Start, temporary: Path) -> None:
    """A demo that is killed takes servers, daemon, workers and publisher along."""
    demo = start("--rate", "500", "--kinds", "telemetry", "--chaos")
    demo.line("TELEMETRY/0 running")
    assert eventually(lambda: 4 <= len(using(temporary)))  # chaos may have just killed the worker

    demo.process.kill()
    demo.process.wait()

    assert eventually(lambda: [] == using(temporary))


@pytest.mark.parametrize(("program", "name"), [("nats-server", "nats"), ("postgres", "postgres")])
def test_server_that_dies_ends_the_demo(start: Start, temporary: Path, program: str, name: str) -> None:
    """Where a server of the demo's dies, the demo says which and ends with 2, and nothing of it is left."""
    demo = start("--rate", "500", "--kinds", "telemetry")
    demo.line("TELEMETRY/0 running")

    os.kill(server_of(temporary, program), signal.SIGKILL)

    assert 2 == demo.end()
    assert any(f"the {name} server exited with code -9" in line for line in demo.said)
    assert eventually(lambda: [] == using(temporary))


def server_of(folder: Path, program: str) -> int:
    """Return the process that runs this program with this folder on its command line."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if os.path.basename(words[0]) == program.encode() and bytes(folder) in b" ".join(words):
                return int(entry.name)
    raise AssertionError(f"no {program} of {folder} runs")


def test_terminal_is_left_as_it_was(temporary: Path) -> None:
    """On a terminal the table is drawn in place; after Ctrl-C the cursor is restored and the audit is the last line."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", COLUMNS="80", LINES="40")
        os.execv(sys.executable, command("--rate", "500", "--kinds", "telemetry"))
    screen, interrupted = b"", False
    with contextlib.suppress(OSError):  # a terminal whose other side is closed answers with an error
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
    ("arguments", "words"),
    [
        (
            ("--kinds", "telemetry,nothing"),
            "--kinds 'telemetry,nothing': allowed are all, or a list of telemetry,",
        ),
        (("--duration", "soon"), "--duration 'soon': not a duration"),
        (("--duration", "0s"), "--duration '0s': must be above 0"),
        (("--rate", "0"), "Invalid value for '--rate'"),
        (("--data-dir", "/dev/null/data"), "cannot keep the servers' data in /dev/null/data: Not a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistake_is_one_sentence(temporary: Path, arguments: tuple[str, ...], words: str) -> None:
    """A mistake on the command line is one sentence and exit code 2."""
    done = finished(*arguments)

    assert (2, "") == (done.returncode, done.stdout)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_variables_of_another_installation_do_not_turn_the_demo(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that name other servers, for the daemon or for libpq, are not followed."""
    for name, value in {
        "EVENT_WRITER_NATS_URL": "nats://192.0.2.1:4222", "EVENT_WRITER_POSTGRES_DSN": "postgresql://192.0.2.1/x",
        "CNPG_HOST": "192.0.2.1", "EVENT_WRITER_CONFIG": "/nowhere.toml", "PGSSLMODE": "verify-full", "PGOPTIONS": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)

    assert 0 == finished(*SHORT).returncode

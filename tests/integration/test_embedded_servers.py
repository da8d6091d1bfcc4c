"""Embedded servers: they stop with their owner, leave nothing behind, and do not affect each other."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from eventwriter.demo import data_dirs
from eventwriter.demo.process import Server, free_port
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.errors import Fatal

GONE_S_MAX = 10.0
ROOT = Path(__file__).resolve().parents[2]

OWNER = """
import sys, time
from pathlib import Path
from eventwriter.demo.servers import EmbeddedServers

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
with EmbeddedServers(folder) as servers:
    print(servers.folder, servers.nats.pid, servers.postgres.pid, servers.postgres_dsn(), flush=True)
    time.sleep(600)
"""

TINY_TEST = '''
"""A session that uses both servers and is killed in the middle."""
import time

pytest_plugins = ("fix_servers",)


def test_waits(nats_url, database, servers):
    """It prints where the servers are, and waits to be killed."""
    print("at", nats_url, database, flush=True)
    time.sleep(600)
'''


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes that use this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if bytes(folder) in words and entry.name != str(os.getpid()):
                found.append(words.replace(b"\0", b" ").decode())
    return found


def segments() -> set[str]:
    """Return the ids of all System V shared memory segments and the processes that created them."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {f"{line.split()[1]} of {line.split()[4]}" for line in lines}


def segment_of(folder: Path) -> str:
    """Return the id of PostgreSQL's segment and the process that created it."""
    lines = (folder / "postgres" / "postmaster.pid").read_text().splitlines()
    return f"{lines[6].split()[1]} of {lines[0]}"


def eventually(true: Callable[[], bool]) -> bool:
    """Return whether a condition becomes true within ten seconds."""
    until = time.monotonic() + GONE_S_MAX
    while not true() and time.monotonic() < until:
        time.sleep(0.05)
    return true()


@contextlib.contextmanager
def owner(*arguments: str) -> Iterator["tuple[subprocess.Popen[str], Path, list[int], str]"]:
    """Start a process with its own servers; return the process, their folder, their pids and PostgreSQL's address."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout:
        folder, nats, postgres, dsn = process.stdout.readline().split()
    try:
        yield process, Path(folder), [int(nats), int(postgres)], dsn
    finally:
        process.kill()
        process.wait()


def test_killed_owner_leaves_no_server(temporary: Path) -> None:
    """A killed owner leaves no server, no System V segment, and nothing in /dev/shm."""
    with owner() as (process, folder, pids, dsn):
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g")
        segment = segment_of(folder)
        assert segment in segments()
        assert "/dev/shm/" not in Path(f"/proc/{pids[1]}/maps").read_text()

        process.kill()
        process.wait()

        assert eventually(lambda: not processes_of(folder) and not any(Path(f"/proc/{pid}").exists() for pid in pids))
        assert eventually(lambda: segment not in segments())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_owner_ended_by_a_signal_leaves_no_server(temporary: Path, number: signal.Signals) -> None:
    """An owner that is ended by another signal leaves no server and no segment."""
    with owner() as (process, folder, _pids, _dsn):
        segment = segment_of(folder)

        process.send_signal(number)
        process.wait()

        assert eventually(lambda: not processes_of(folder) and segment not in segments())


def test_killed_test_run_leaves_no_server(temporary: Path, tmp_path: Path) -> None:
    """A killed run of pytest leaves no server, no segment and no child process."""
    (tmp_path / "test_tiny.py").write_text(TINY_TEST)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("EVENTWRITER_TEST_")}
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-s", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)],
        stdout=subprocess.PIPE, text=True, env=environ, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout as said:
        line = next((line for line in said if "at nats://" in line), None)
        assert line is not None
        (folder,) = temporary.glob(data_dirs.PREFIX + "*")
        segment = segment_of(folder)
        assert len(processes_of(folder)) >= 2

        process.kill()
        process.wait()

    assert eventually(lambda: not processes_of(folder))
    assert eventually(lambda: segment not in segments())


def test_folder_of_a_killed_owner_is_removed_at_the_next_start(temporary: Path) -> None:
    """The next start removes the folder of a killed owner and no other folder."""
    with owner() as (living, living_folder, _pids, _dsn), owner() as (process, folder, _pids2, _dsn2):
        process.kill()
        process.wait()
        assert folder.exists()

        with EmbeddedServers() as servers:
            assert {living_folder, servers.folder} == set(temporary.glob(data_dirs.PREFIX + "*"))

        assert living.poll() is None
    assert [living_folder] == list(temporary.iterdir())


def test_suspended_server_of_a_killed_owner_is_ended_at_the_next_start(temporary: Path) -> None:
    """A PostgreSQL server that was suspended while its owner was killed is ended by the next start."""
    with owner() as (process, folder, (_nats, postgres), _dsn):
        segment = segment_of(folder)
        os.kill(postgres, signal.SIGSTOP)
        process.kill()
        process.wait()
        assert processes_of(folder)

        data_dirs.create_temporary()

        assert [] == processes_of(folder)
        assert segment not in segments()
        assert not folder.exists()


def test_killed_postgres_leaves_no_segment(temporary: Path) -> None:
    """If PostgreSQL was killed, stopping the servers removes its shared memory segment."""
    with EmbeddedServers() as servers:
        segment = segment_of(servers.folder)
        servers.postgres.kill()
        assert segment in segments()

    assert segment not in segments()
    assert [] == list(temporary.iterdir())


def test_two_pairs_are_independent(temporary: Path) -> None:
    """Two pairs have separate ports and data, and stopping one leaves the other running."""
    with EmbeddedServers() as one, EmbeddedServers() as other:
        with psycopg.connect(one.postgres_dsn()) as conn, psycopg.connect(other.postgres_dsn()) as there:
            conn.execute("CREATE TABLE mine (n int)")
            conn.commit()
            assert (None,) == there.execute("SELECT to_regclass('mine')").fetchone()
        assert one.nats_url != other.nats_url

        other.stop()

        with psycopg.connect(one.postgres_dsn()) as conn:
            assert (1,) == conn.execute("SELECT 1").fetchone()


def test_named_folder_keeps_its_data(temporary: Path) -> None:
    """The next servers in a named folder have its data, also after the owner was killed."""
    folder = temporary / "kept"
    with owner(str(folder)) as (process, _folder, _pids, dsn):
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("CREATE TABLE t AS SELECT 42 AS n")
            conn.execute("CHECKPOINT")
        process.kill()
        process.wait()

        with EmbeddedServers(folder) as again, psycopg.connect(again.postgres_dsn()) as conn:
            assert (42,) == conn.execute("SELECT n FROM t").fetchone()

    assert (folder / "postgres" / "PG_VERSION").exists()


def test_folder_in_use_is_refused(temporary: Path) -> None:
    """A named folder that other servers use is an error, and those servers continue."""
    folder = temporary / "kept"
    with EmbeddedServers(folder) as servers:
        with pytest.raises(Fatal, match=f"{folder} is in use by other servers"):
            EmbeddedServers(folder)

        with psycopg.connect(servers.postgres_dsn()) as conn:
            assert (1,) == conn.execute("SELECT 1").fetchone()


def test_folder_that_cannot_be_created_is_an_error(temporary: Path) -> None:
    """The error for a folder that cannot be created names the folder and the reason."""
    (temporary / "file").write_text("")

    with pytest.raises(Fatal, match=r"cannot keep the servers' data in .*/file/data: Not a directory"):
        EmbeddedServers(temporary / "file" / "data")


def test_missing_temporary_folder_names_tmpdir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If no temporary folder can be created, the error names TMPDIR."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))

    with pytest.raises(Fatal, match="set TMPDIR to a writable folder"):
        EmbeddedServers()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's PostgreSQL runs as that user")
def test_folder_closed_to_the_postgres_user_is_an_error(temporary: Path) -> None:
    """As root, a folder closed to PostgreSQL's user is an error, and its permissions are not changed."""
    closed = temporary / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(Fatal, match=f"cannot enter {closed}"):
        EmbeddedServers(closed / "data")

    assert 0o700 == closed.stat().st_mode & 0o777


def test_port_taken_before_the_bind_is_replaced(temporary: Path) -> None:
    """If a port is taken before a server binds it, another port is used."""
    with EmbeddedServers() as there:
        stolen = [int(url.rpartition(":")[2].partition("/")[0]) for url in (there.nats_url, there.postgres_dsn())]
        # Ports for: the first choice of each (made at once), then what each is started with.
        ports = iter([*stolen, *stolen, free_port(), *stolen])

        with EmbeddedServers(ports=lambda: next(ports, None) or free_port()) as servers:
            with psycopg.connect(servers.postgres_dsn()) as conn:
                assert (1,) == conn.execute("SELECT 1").fetchone()
            assert servers.nats_url != there.nats_url
        assert None is next(ports, None)


def test_failed_start_reports_the_log_and_leaves_nothing(temporary: Path) -> None:
    """The error of a failed start contains the server's output, and the folder is removed."""
    servers = EmbeddedServers()
    (servers.folder / "postgres").mkdir()
    (servers.folder / "postgres" / "PG_VERSION").write_text("9.4\n")
    servers.folder.joinpath("postgres").chmod(0o700)

    with pytest.raises(Fatal, match=r"postgres did not start: .*postgres"), servers:
        pass

    assert [] == list(temporary.iterdir())


def test_server_started_in_a_thread_is_refused(temporary: Path) -> None:
    """Only the main thread may start a server, because the server ends with its thread."""
    import threading

    refused: list[BaseException] = []

    def start() -> None:
        try:
            Server("sleep", ["/bin/sleep", "600"], lambda _pid: True, temporary, signal.SIGTERM).start()
        except Fatal as error:
            refused.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert "from the main thread" in str(refused[0])


def test_no_server_holds_the_output_of_a_killed_owner(temporary: Path) -> None:
    """The output of a killed owner ends at once, because no server inherits the pipe."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    with process.stdout as said:
        said.readline()
        began_s = time.monotonic()
        process.kill()
        said.read()
    process.wait()

    assert time.monotonic() - began_s < GONE_S_MAX / 2

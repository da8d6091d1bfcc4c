"""
Invalid input of an operator: one clear error message, the right exit code, no traceback, and no lost message.

Each test runs the installed commands. Several tests share a daemon with four entries, of which three are invalid.
"""

import asyncio
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import psycopg
import pytest
from fix_nats import StartNats
from fix_run import Run, command

from eventwriter.demo.process import free_port
from eventwriter.demo.servers import EmbeddedServers

GO = {
    "nats_url": "nats://h:4222",
    "cnpg": {"host": "h", "database": "d"},
    "streams": [{"subject": "a", "table": "logs"}],
}


@pytest.fixture(scope="module")
def servers() -> Iterator[EmbeddedServers]:
    """Servers of this module, for daemons that are refused or have to wait."""
    with EmbeddedServers() as embedded:
        yield embedded


def config_file(content: str | bytes, name: str = "c.json") -> Callable[[Path], str]:
    """Return a function that writes a configuration file and returns its path."""

    def make(folder: Path) -> str:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return make


def with_socket(path: str) -> Callable[[Path], str]:
    """Return a function that writes a configuration with this control socket."""
    return lambda folder: config_file(json.dumps({"enabled": True, "control": {"socket": path.format(folder)}}))(folder)


def symlink_loop(folder: Path) -> str:
    """Create a path that no user can open, not even root."""
    path = folder / "c.json"
    path.symlink_to(path)
    return str(path)


def unreadable(folder: Path) -> str:
    """Create a file that this user cannot read."""
    if os.geteuid() == 0:
        return symlink_loop(folder)
    path = folder / "c.json"
    path.touch(0o000)
    return str(path)


INVALID: dict[str, tuple[Callable[[Path], str], int, list[str]]] = {
    "unknown keys": (
        config_file('{"natss": {}, "streams": [{"name": "TELEMETRY", "batch_sise": 5}]}'), 2,
        ["is invalid, 2 mistakes:", "Unknown key 'natss'; did you mean 'nats'?", "did you mean 'batch_size'?"],
    ),
    "wrong types": (
        config_file('enabled = "perhaps"\n[nats]\nping_interval = "soon"\n[[streams]]\nname = 5\n', "c.toml"), 2,
        [
            'enabled: "perhaps" is neither true nor false', 'nats.ping_interval: "soon" is not a duration',
            "streams[0].name: 5 is not text",
        ],
    ),
    "kind": (config_file('{"streams": [{"name": "A", "subject": "a", "kind": "b"}]}'), 2, ['"b" is not a known kind']),
    "table of another kind": (
        config_file('{"streams": [{"name": "TELEMETRY", "table": "netflow_metrics", "kind": "telemetry"}]}'), 2,
        ['kind telemetry cannot write table netflow_metrics; set "table" to one'],
    ),
    "overlapping subjects": (
        config_file('{"streams": [{"name": "TELEMETRY", "subjects": ["a.>", "a.b"]}]}'), 2, ["remove a.b"],
    ),
    "Go writer's file": (config_file(json.dumps(GO)), 2, ["cnpg.username: this key is required"]),
    "broken JSON": (config_file('{"a": 1,\n "b": }'), 2, ["c.json: line 2, column 7: invalid JSON"]),
    "broken TOML": (config_file("a = \n", "c.toml"), 2, ["c.toml: invalid TOML:", "line 1"]),
    "not a text": (config_file(b"\xff\xfe\x00"), 2, ["not UTF-8 text"]),
    "empty file": (config_file(""), 2, ["the file is empty"]),
    "folder": (str, 2, ["is a directory; give the path of a JSON or TOML file"]),
    "missing file": (lambda folder: f"{folder}/none.json", 2, ["none.json: cannot be read: No such file"]),
    "unreadable file": (unreadable, 2, ["c.json: cannot be read: ", "check the path and its permissions"]),
    "not enabled": (config_file("{}"), 0, ["is not enabled", "set EVENT_WRITER_ENABLED=true"]),
    "nothing to run": (
        config_file('{"enabled": true, "streams": [{"name": "TELEMETRY", "enabled": false}]}'), 2,
        ["no stream is enabled"],
    ),
    "socket path too long": (with_socket("/tmp/" + 105 * "x"), 2, ["has 110 bytes; the path of a Unix socket"]),
    "socket in no folder": (with_socket("{}/none/s"), 2, ["cannot be created: No such file or directory; its"]),
    "socket below a file": (with_socket("/dev/null/s"), 2, ["cannot be created: Not a directory"]),
    "socket path is a file": (with_socket("{}/c.json"), 2, ["exists and is not a socket; move the file away"]),
    "group": (
        config_file('{"enabled": true, "control": {"group": "no-such-group"}}'), 2, ["does not exist on this machine"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "code", "messages"), INVALID.values(), ids=INVALID)
def test_run_reports_invalid_input(tmp_path: Path, make: Callable[[Path], str], code: int, messages: list[str]) -> None:
    """`run` reports the error and how to correct it, and exits with the documented code."""
    done = command("eventwriter", "run", "--config", make(tmp_path), environ={"CNPG_HOST": "127.0.0.1"})

    assert (code, "") == (done.returncode, done.stdout)
    assert [] == [message for message in messages if message not in done.stderr], done.stderr
    assert "Traceback" not in done.stderr
    assert 1 == len(done.stderr.splitlines()) or "is invalid" in done.stderr.splitlines()[0]


def test_ctl_without_a_daemon_exits_with_3(tmp_path: Path) -> None:
    """Without a daemon `status` prints one line with the socket, and exits with 3."""
    done = command("eventwriter-ctl", "--socket", f"{tmp_path}/none", "status")

    assert (3, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert f"{tmp_path}/none" in done.stderr


async def publish(url: str, stream: str, subjects: list[str], *messages: tuple[str, dict[str, Any]]) -> None:
    """Create a stream if it does not exist, publish messages, and wait until they are stored."""
    client = await nats.connect(url)
    try:
        await client.jetstream().add_stream(name=stream, subjects=subjects)
        for subject, payload in messages:
            await client.jetstream().publish(subject, json.dumps(payload).encode())
    finally:
        await client.close()


def addresses(servers: EmbeddedServers, dsn: str | None = None) -> dict[str, Any]:
    """Return the sections `nats` and `postgres` for these servers."""
    return {"nats": {"servers": [servers.nats_url]}, "postgres": {"dsn": dsn or servers.postgres_dsn()}}


DATABASE = "partly_invalid"
FLOW = {"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2"}
ENTRIES = [
    {"name": "TELEMETRY", "subjects": ["telemetry.>"]},
    {"name": "NOSTREAM", "stream_name": "absent", "subjects": ["absent.>"], "kind": "telemetry"},
    {"name": "NOTABLE", "subjects": ["netflow.a"], "kind": "netflow", "schema": "bare"},
    {"name": "UNFILLED", "subjects": ["netflow.b"], "kind": "netflow", "tables": ["netflow_metrics"]},
]
MISSING = {
    "NOSTREAM": "nats stream add absent",
    "NOTABLE": "ocsf_network_activity",
    "UNFILLED": "site",
}


@pytest.fixture(scope="module")
def partly_invalid(servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """
    A daemon with four entries: one is valid; the others lack the stream, the table, or the value of a column.

    Its socket path has the socket of an exited daemon.
    """
    folder = tmp_path_factory.mktemp("invalid")
    with psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {DATABASE}")
    dsn = servers.postgres_dsn(DATABASE)
    for schema in ("public", "bare"):
        assert 0 == command("eventwriter", "migrate", "--dsn", dsn, "--schema", schema).returncode
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("DROP TABLE bare.ocsf_network_activity")
        conn.execute("ALTER TABLE public.netflow_metrics ADD COLUMN site text NOT NULL")
    messages = [("telemetry.a", {"value": 1}), ("netflow.a", FLOW), ("netflow.b", FLOW)]
    asyncio.run(publish(servers.nats_url, "events", ["telemetry.>", "netflow.>"], *messages))
    run = Run(
        folder,
        {
            **addresses(servers, dsn),
            "streams": [{**entry, "batch_timeout": 50} for entry in ENTRIES],
        },
    )
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(run.socket)
    run.start()
    try:
        run.until(lambda s: all(run.slot(s, name)["last_error"] for name in MISSING), "reported")
        run.until(lambda s: run.slot(s, "TELEMETRY")["rows_total"] == 1, "written by the valid entry")
        yield run
    finally:
        run.stop()


@pytest.mark.parametrize("name", MISSING)
def test_invalid_entry_parks_only_its_own_slot(partly_invalid: Run, name: str) -> None:
    """The slot is failing and reports what is missing; its worker is parked and does not crash."""
    status = partly_invalid.status()
    assert status is not None
    slot = partly_invalid.slot(status, name)

    assert ("parked", "failing", 0, 0) == (
        slot["worker_state"],
        slot["health"],
        slot["restarts"],
        slot["dead_letters_total"],
    )
    assert MISSING[name] in slot["last_error"]
    assert slot["last_error"] == slot["reason"]


def test_status_of_failing_slots_exits_with_2(partly_invalid: Run) -> None:
    """`status` exits with 2 and prints the error of each failing slot."""
    done = partly_invalid.ctl("status")

    assert (2, "") == (done.returncode, done.stderr)
    assert [] == [name for name in MISSING if name not in done.stdout]
    assert MISSING["NOSTREAM"] in " ".join(done.stdout.split())


def test_socket_of_an_exited_daemon_is_replaced(partly_invalid: Run) -> None:
    """A socket file without a listener is replaced."""
    assert partly_invalid.status() is not None


def test_second_daemon_on_the_socket_is_refused(partly_invalid: Run) -> None:
    """A second `run` exits with 3 and names the first daemon, which continues."""
    done = command("eventwriter", "run", "--config", str(partly_invalid.config))

    assert 3 == done.returncode
    assert partly_invalid.process is not None
    last = done.stderr.splitlines()[-1]
    assert f"pid {partly_invalid.process.pid}" in last
    assert partly_invalid.socket in last
    assert partly_invalid.status() is not None


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("restart", "NONE"), ["'NONE'", "TELEMETRY/0, NOSTREAM/0"]),
        (("restart",), ["SLOT|STREAM|all"]),
        (("stauts",), ["'stauts'"]),
    ],
    ids=["unknown slot", "missing argument", "unknown verb"],
)
def test_invalid_request_is_named(partly_invalid: Run, arguments: tuple[str, ...], names: list[str]) -> None:
    """An unknown slot or verb is named, together with the existing slots; the exit code is 2."""
    done = partly_invalid.ctl(*arguments)

    assert 2 == done.returncode
    assert [] == [name for name in names if name not in done.stderr], done.stderr
    assert "Traceback" not in done.stderr


def test_invalid_file_changes_nothing_on_reload(partly_invalid: Run) -> None:
    """A reload of an invalid file reports the errors, and every slot keeps its worker."""
    before = partly_invalid.status()
    content = partly_invalid.config.read_text()
    partly_invalid.config.write_text('{"enabled": true,}')
    try:
        done = partly_invalid.ctl("reload")
    finally:
        partly_invalid.config.write_text(content)
    after = partly_invalid.status()

    assert before is not None
    assert after is not None
    assert 2 == done.returncode
    assert "comma" in done.stderr
    assert [slot["pid"] for slot in before["slots"]] == [slot["pid"] for slot in after["slots"]]


def test_fixed_configuration_is_config_file(partly_invalid: Run, servers: EmbeddedServers) -> None:
    """Once stream, table and default are there, everything that was published meanwhile becomes its row."""
    asyncio.run(publish(servers.nats_url, "absent", ["absent.>"], ("absent.a", {"value": 2})))
    dsn = servers.postgres_dsn(DATABASE)
    assert 0 == command("eventwriter", "migrate", "--dsn", dsn, "--schema", "bare").returncode
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("ALTER TABLE public.netflow_metrics ALTER COLUMN site SET DEFAULT 'here'")
    assert 0 == partly_invalid.ctl("restart", "all").returncode

    status = partly_invalid.until(lambda s: s["totals"]["rows_total"] == 4 and s["status"] == "healthy", "written")
    assert ([1, 1, 1, 1], 0) == (
        [slot["rows_total"] for slot in status["slots"]],
        partly_invalid.ctl("status").returncode,
    )
    assert "Traceback" not in partly_invalid.log()
    assert 0 == partly_invalid.stop()


def test_daemon_waits_for_servers_that_start_later(tmp_path: Path) -> None:
    """A daemon that starts before its servers reports which one is unreachable, and writes when they run."""
    with EmbeddedServers() as servers:
        assert 0 == command("eventwriter", "migrate", "--dsn", servers.postgres_dsn()).returncode
        asyncio.run(publish(servers.nats_url, "events", ["telemetry.>"], ("telemetry.a", {"value": 1})))
        servers.nats.stop()
        servers.postgres.stop()
        config = {
            "nats": {"servers": [servers.nats_url]},
            "postgres": {"dsn": servers.postgres_dsn()},
            "streams": ["TELEMETRY"],
        }
        run = Run(tmp_path, config).start()
        try:
            for name, server in (("NATS", servers.nats), ("PostgreSQL", servers.postgres)):
                status = run.until(lambda s, n=name: n in (s["slots"][0]["last_error"] or ""), name)  # type: ignore[misc]
                assert ("starting", "waiting", "degraded") == (
                    status["slots"][0]["state"],
                    status["slots"][0]["worker_state"],
                    status["status"],
                )
                assert 1 == run.ctl("status").returncode
                server.start()

            run.until(lambda s: s["status"] == "healthy" and s["totals"]["rows_total"] == 1, "written")
            assert "Traceback" not in run.log()
        finally:
            run.stop()


def test_login_refused_by_nats_parks_the_slot(tmp_path: Path, start_nats: StartNats) -> None:
    """A wrong password for NATS makes the slot failing; the error names the keys and never shows the password."""
    server = start_nats({"authorization": {"user": "writer", "password": "right"}})
    url = server.url.replace("//", "//writer:hunter2@")
    postgres = {"host": "127.0.0.1", "port": 1}
    run = Run(tmp_path, {"nats": {"servers": [url]}, "postgres": postgres, "streams": ["TELEMETRY"]}).start()
    try:
        status = run.until(lambda s: s["status"] == "failing", "failing")
        assert "nats.user and nats.password" in status["slots"][0]["last_error"]
        assert (0, 2) == (status["slots"][0]["restarts"], run.ctl("status").returncode)
        assert [] == [secret for secret in ("Traceback", "hunter2") if secret in run.log()]
        assert 0 == run.stop()
    finally:
        run.stop()


def test_login_refused_by_postgres_parks_the_slot(tmp_path: Path, servers: EmbeddedServers) -> None:
    """A wrong password for PostgreSQL makes the slot failing; the error names the user and never shows the password."""
    with psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("CREATE ROLE secretive LOGIN PASSWORD 'right'")
        hba = servers.folder / "postgres" / "pg_hba.conf"
        hba.write_text("host all secretive 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        conn.execute("SELECT pg_reload_conf()")
    asyncio.run(publish(servers.nats_url, "refused", ["refused.>"]))
    dsn = servers.postgres_dsn().replace("//postgres@", "//secretive:hunter2@")
    entry = {"name": "A", "stream_name": "refused", "subject": "refused.>", "kind": "telemetry"}
    run = Run(tmp_path, {**addresses(servers, dsn), "streams": [entry]}).start()
    try:
        status = run.until(lambda s: s["status"] == "failing", "failing")
        error = status["slots"][0]["last_error"]
        assert '"secretive"' in error
        assert (0, 2) == (status["slots"][0]["restarts"], run.ctl("status").returncode)
        assert [] == [secret for secret in ("Traceback", "hunter2") if secret in run.log()]
    finally:
        run.stop()


def test_migrate_without_a_server_exits_with_3() -> None:
    """`migrate` without a server prints one line with its address, and exits with 3."""
    done = command("eventwriter", "migrate", "--dsn", f"postgresql://u:hunter2@127.0.0.1:{free_port()}/d")

    assert (3, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert ("127.0.0.1" in done.stderr, "hunter2" in done.stderr) == (True, False)

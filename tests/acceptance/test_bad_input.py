"""
Bad input, as an operator meets it: one clear sentence, a fitting exit code, no traceback, and nothing lost.

Each test runs the installed commands. One daemon with four streams, three of them
wrong, serves several claims.
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
    """A pair of servers of this module's own, for daemons that are refused and made to wait."""
    with EmbeddedServers() as embedded:
        yield embedded


def written(content: str | bytes, name: str = "c.json") -> Callable[[Path], str]:
    """Return a maker of a configuration file."""

    def make(folder: Path) -> str:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return make


def with_socket(path: str) -> Callable[[Path], str]:
    """Return a maker of a configuration whose control socket is elsewhere."""
    return lambda folder: written(json.dumps({"enabled": True, "control": {"socket": path.format(folder)}}))(folder)


def loop(folder: Path) -> str:
    """Make a path that nobody can open, whoever he is."""
    path = folder / "c.json"
    path.symlink_to(path)
    return str(path)


def closed(folder: Path) -> str:
    """Make a file that its owner may not read; whoever may read everything gets one that nobody can open."""
    if os.geteuid() == 0:
        return loop(folder)
    path = folder / "c.json"
    path.touch(0o000)
    return str(path)


AT_ONCE: dict[str, tuple[Callable[[Path], str], int, list[str]]] = {
    "unknown keys": (
        written('{"natss": {}, "streams": [{"name": "TELEMETRY", "batch_sise": 5}]}'), 2,
        ["is invalid, 2 mistakes:", "Unknown key 'natss'; did you mean 'nats'?", "did you mean 'batch_size'?"],
    ),
    "wrong types": (
        written('enabled = "perhaps"\n[nats]\nping_interval = "soon"\n[[streams]]\nname = 5\n', "c.toml"), 2,
        [
            'enabled: "perhaps" is neither true nor false', 'nats.ping_interval: "soon" is not a duration',
            "streams[0].name: 5 is not text",
        ],
    ),
    "kind": (written('{"streams": [{"name": "A", "subject": "a", "kind": "b"}]}'), 2, ['"b" is not a known kind']),
    "table of another kind": (
        written('{"streams": [{"name": "TELEMETRY", "table": "netflow_metrics", "kind": "telemetry"}]}'), 2,
        ['kind telemetry cannot write table netflow_metrics; set "table" to one'],
    ),
    "overlapping subjects": (
        written('{"streams": [{"name": "TELEMETRY", "subjects": ["a.>", "a.b"]}]}'), 2, ["remove a.b"],
    ),
    "Go writer's file": (written(json.dumps(GO)), 2, ["cnpg.username: this key is required"]),
    "broken JSON": (written('{"a": 1,\n "b": }'), 2, ["c.json: line 2, column 7: invalid JSON"]),
    "broken TOML": (written("a = \n", "c.toml"), 2, ["c.toml: invalid TOML:", "line 1"]),
    "not a text": (written(b"\xff\xfe\x00"), 2, ["not UTF-8 text"]),
    "empty file": (written(""), 2, ["the file is empty"]),
    "folder": (str, 2, ["is a directory; give the path of a JSON or TOML file"]),
    "missing file": (lambda folder: f"{folder}/none.json", 2, ["none.json: cannot be read: No such file"]),
    "unreadable file": (closed, 2, ["c.json: cannot be read: ", "check the path and its permissions"]),
    "not enabled": (written("{}"), 0, ["is not enabled", "set EVENT_WRITER_ENABLED=true"]),
    "nothing to run": (
        written('{"enabled": true, "streams": [{"name": "TELEMETRY", "enabled": false}]}'), 2,
        ["no stream is enabled"],
    ),
    "socket path too long": (with_socket("/tmp/" + 105 * "x"), 2, ["has 110 bytes; the path of a Unix socket"]),
    "socket in no folder": (with_socket("{}/none/s"), 2, ["cannot be created: No such file or directory; its"]),
    "socket below a file": (with_socket("/dev/null/s"), 2, ["cannot be created: Not a directory"]),
    "socket path is a file": (with_socket("{}/c.json"), 2, ["exists and is not a socket; move the file away"]),
    "group": (
        written('{"enabled": true, "control": {"group": "no-such-group"}}'), 2, ["does not exist on this machine"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "code", "said"), AT_ONCE.values(), ids=AT_ONCE)
def test_mistake_ends_run_at_once(tmp_path: Path, make: Callable[[Path], str], code: int, said: list[str]) -> None:
    """`run` says what is wrong and what to do, and ends with the code that fits."""
    done = command("eventwriter", "run", "--config", make(tmp_path), environ={"CNPG_HOST": "127.0.0.1"})

    assert (code, "") == (done.returncode, done.stdout)
    assert [] == [words for words in said if words not in done.stderr], done.stderr
    assert "Traceback" not in done.stderr
    assert 1 == len(done.stderr.splitlines()) or "is invalid" in done.stderr.splitlines()[0]


def test_ctl_without_a_daemon_is_a_sentence(tmp_path: Path) -> None:
    """Nobody on the socket is exit code 3 and one sentence."""
    done = command("eventwriter-ctl", "--socket", f"{tmp_path}/none", "status")

    assert (3, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert "no daemon is running: " in done.stderr


async def publish(url: str, stream: str, subjects: list[str], *to: tuple[str, dict[str, Any]]) -> None:
    """Make a stream, where it is not there, and publish messages, each stored before this returns."""
    client = await nats.connect(url)
    try:
        await client.jetstream().add_stream(name=stream, subjects=subjects)
        for subject, payload in to:
            await client.jetstream().publish(subject, json.dumps(payload).encode())
    finally:
        await client.close()


def addresses(servers: EmbeddedServers, dsn: str | None = None) -> dict[str, Any]:
    """Return the configuration of a daemon on these servers."""
    return {"nats": {"servers": [servers.nats_url]}, "postgres": {"dsn": dsn or servers.postgres_dsn()}}


FLOW = {"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2"}
ENTRIES = [
    {"name": "TELEMETRY", "subjects": ["telemetry.>"]},
    {"name": "NOSTREAM", "stream_name": "absent", "subjects": ["absent.>"], "kind": "telemetry"},
    {"name": "NOTABLE", "subjects": ["netflow.a"], "kind": "netflow", "schema": "bare"},
    {"name": "UNFILLED", "subjects": ["netflow.b"], "kind": "netflow", "tables": ["netflow_metrics"]},
]
SENTENCES = {
    "NOSTREAM": "JetStream has no stream 'absent'; create it (nats stream add absent)",
    "NOTABLE": "ocsf_network_activity",
    "UNFILLED": "site",
}


@pytest.fixture(scope="module")
def wrong(servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """
    A daemon of four streams: one is well, of the others the stream, the table, or a column's value is missing.

    A dead daemon's socket was on its path.
    """
    folder = tmp_path_factory.mktemp("wrong")
    with psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("CREATE DATABASE wrong")
    dsn = servers.postgres_dsn("wrong")
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
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(run.socket)
    run.start()
    try:
        run.until(lambda s: all(run.slot(s, name)["last_error"] for name in SENTENCES), "said what is wrong")
        run.until(lambda s: run.slot(s, "TELEMETRY")["rows_total"] == 1, "written by the slot that is well")
        yield run
    finally:
        run.stop()


@pytest.mark.parametrize("name", SENTENCES)
def test_what_is_missing_parks_only_its_own_slot(wrong: Run, name: str) -> None:
    """The slot is failing and names what is missing; its worker lives, and does not crash."""
    status = wrong.status()
    assert status is not None
    slot = wrong.slot(status, name)

    assert ("parked", "failing", 0, 0) == (
        slot["worker_state"],
        slot["health"],
        slot["restarts"],
        slot["dead_letters_total"],
    )
    assert SENTENCES[name] in slot["last_error"]
    assert slot["last_error"] == slot["reason"]


def test_status_names_the_worst_and_exits_with_2(wrong: Run) -> None:
    """`status` exits with 2, and says for each slot what ails it."""
    done = wrong.ctl("status")

    assert (2, "") == (done.returncode, done.stderr)
    assert [] == [name for name in SENTENCES if name not in done.stdout]
    assert "create it (nats stream add absent)" in " ".join(done.stdout.split())


def test_socket_of_a_dead_daemon_is_taken_over(wrong: Run) -> None:
    """A socket file that nobody listens on is replaced without a word."""
    assert 0 == wrong.ctl("--help").returncode
    assert wrong.status() is not None


def test_second_daemon_on_the_socket_is_refused(wrong: Run) -> None:
    """A second `run` ends with 3 and names the first one, which goes on."""
    done = command("eventwriter", "run", "--config", str(wrong.config))

    assert 3 == done.returncode
    assert wrong.process is not None
    last = done.stderr.splitlines()[-1]
    assert f"eventwriter: another eventwriter (pid {wrong.process.pid}) is using {wrong.socket}" == last
    assert wrong.status() is not None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("restart", "NONE"), 2, "there is no slot or stream 'NONE'; slots are TELEMETRY/0, NOSTREAM/0"),
        (("restart",), 2, "Missing argument 'SLOT|STREAM|all'"),
        (("stauts",), 2, "No such command 'stauts'"),
    ],
)
def test_wrong_question_is_a_sentence(wrong: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    """A slot or verb that does not exist is named, with those that do."""
    done = wrong.ctl(*arguments)

    assert code == done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_broken_file_changes_nothing_on_reload(wrong: Run) -> None:
    """A reload of a file with mistakes names them, and every slot keeps its worker."""
    before = wrong.status()
    content = wrong.config.read_text()
    wrong.config.write_text('{"enabled": true,}')
    try:
        done = wrong.ctl("reload")
    finally:
        wrong.config.write_text(content)
    after = wrong.status()

    assert before is not None
    assert after is not None
    assert 2 == done.returncode
    assert "a comma before the closing }; remove it" in done.stderr
    assert [slot["pid"] for slot in before["slots"]] == [slot["pid"] for slot in after["slots"]]


def test_fixed_configuration_is_written(wrong: Run, servers: EmbeddedServers) -> None:
    """Once stream, table and default are there, everything that was published meanwhile becomes its row."""
    asyncio.run(publish(servers.nats_url, "absent", ["absent.>"], ("absent.a", {"value": 2})))
    dsn = servers.postgres_dsn("wrong")
    assert 0 == command("eventwriter", "migrate", "--dsn", dsn, "--schema", "bare").returncode
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("ALTER TABLE public.netflow_metrics ALTER COLUMN site SET DEFAULT 'here'")
    assert 0 == wrong.ctl("restart", "all").returncode

    status = wrong.until(lambda s: s["totals"]["rows_total"] == 4 and s["status"] == "healthy", "all written")
    assert ([1, 1, 1, 1], 0) == ([slot["rows_total"] for slot in status["slots"]], wrong.ctl("status").returncode)
    assert "Traceback" not in wrong.log()
    assert 0 == wrong.stop()


def test_servers_that_come_later_are_waited_for(tmp_path: Path) -> None:
    """A daemon starts before its servers, says which one it waits for, and works when they come."""
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
            for words, server in (("NATS at", servers.nats), ("cannot reach PostgreSQL at", servers.postgres)):
                status = run.until(lambda s, w=words: w in (s["slots"][0]["last_error"] or ""), words)  # type: ignore[misc]
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


def test_login_that_nats_refuses_parks_the_slot(tmp_path: Path, start_nats: StartNats) -> None:
    """A wrong password at NATS is failing, with the keys to look at, and never shown."""
    server = start_nats({"authorization": {"user": "writer", "password": "right"}})
    url = server.url.replace("//", "//writer:hunter2@")
    postgres = {"host": "127.0.0.1", "port": 1}
    run = Run(tmp_path, {"nats": {"servers": [url]}, "postgres": postgres, "streams": ["TELEMETRY"]}).start()
    try:
        status = run.until(lambda s: s["status"] == "failing", "failing")
        assert "refused the login; check nats.user and nats.password" in status["slots"][0]["last_error"]
        assert (0, 2) == (status["slots"][0]["restarts"], run.ctl("status").returncode)
        assert [] == [secret for secret in ("Traceback", "hunter2") if secret in run.log()]
        assert 0 == run.stop()
    finally:
        run.stop()


def test_login_that_postgres_refuses_parks_the_slot(tmp_path: Path, servers: EmbeddedServers) -> None:
    """A wrong password at PostgreSQL is failing, with the keys to look at, and never shown."""
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
        assert "refused the login" in error
        assert 'password authentication failed for user "secretive"' in error
        assert (0, 2) == (status["slots"][0]["restarts"], run.ctl("status").returncode)
        assert [] == [secret for secret in ("Traceback", "hunter2") if secret in run.log()]
    finally:
        run.stop()


def test_unreachable_server_of_migrate_is_a_sentence() -> None:
    """`migrate` without a server ends with 3 and one sentence."""
    done = command("eventwriter", "migrate", "--dsn", f"postgresql://u:hunter2@127.0.0.1:{free_port()}/d")

    assert (3, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert ("cannot reach PostgreSQL at 127.0.0.1" in done.stderr, "hunter2" in done.stderr) == (True, False)

"""No output of a daemon contains a secret, even when logins are refused and connections are reset."""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import psutil
import psycopg
import pytest
from fix_nats import NatsServer, StartNats, operator_mode
from fix_run import Run, command

Config = dict[str, Any]
MARK = "geheim"
"""Prefix of every secret, by which a leaked secret is found."""


def secret() -> str:
    """Return a new secret without characters that a URL would encode."""
    return f"{MARK}{uuid.uuid4().hex}"


@dataclass
class Login:
    """A login method of NATS: configurations of server and daemon, and the secrets in them."""

    server: Config
    daemon: Callable[[NatsServer], Config]
    other: Config
    """Configuration of a server that refuses the login."""
    secrets: list[str]
    options: dict[str, Any]
    """Options with which nats-py logs in the publisher."""
    environ: dict[str, str] = field(default_factory=dict)


def users(password: str) -> Config:
    """Return the configuration of a server with one user."""
    return {"authorization": {"users": [{"user": "writer", "password": password}]}}


def in_url(_folder: Path) -> Login:
    """User and password in the server's URL."""
    word = secret()
    url = lambda server: server.url.replace("://", f"://writer:{word}@")  # noqa: E731
    options = {"user": "writer", "password": word}
    return Login(users(word), lambda server: {"servers": [url(server)]}, users("other"), [word], options)


def in_variables(_folder: Path) -> Login:
    """User and password in the environment."""
    word = secret()
    environ = {"EVENT_WRITER_NATS_USER": "writer", "EVENT_WRITER_NATS_PASSWORD": word}
    options = {"user": "writer", "password": word}
    return Login(users(word), lambda server: {"servers": [server.url]}, users("other"), [word], options, environ)


def token_in_file(folder: Path) -> Login:
    """A token in a file."""
    word = secret()
    (folder / "token").write_text(word + "\n")
    daemon = lambda server: {"servers": [server.url], "token_file": str(folder / "token")}  # noqa: E731
    other = {"authorization": {"token": "other"}}
    return Login({"authorization": {"token": word}}, daemon, other, [word], {"token": word})


def creds(folder: Path) -> Login:
    """A .creds file, whose seed and JWT are both secret."""
    server, path = operator_mode(folder)
    (folder / "other").mkdir()
    other, _ = operator_mode(folder / "other")
    lines = path.read_text().splitlines()
    daemon = lambda one: {"servers": [one.url], "creds_file": str(path)}  # noqa: E731
    return Login(server, daemon, other, [lines[1], lines[5]], {"user_credentials": str(path)})


@pytest.fixture(params=[in_url, in_variables, token_in_file, creds], ids=lambda way: way.__name__)
def login(request: pytest.FixtureRequest, tmp_path: Path) -> Login:
    """Each login method."""
    made: Login = request.param(tmp_path)
    return made


async def publish(server: NatsServer, login: Login, payloads: list[bytes]) -> None:
    """Create the stream and publish these payloads."""
    client = await nats.connect(server.url, **login.options)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="events", subjects=["telemetry.>"])
    for payload in payloads:
        await jetstream.publish("telemetry.test", payload)
    await client.close()


def process_titles(run: Run) -> str:
    """Return the command lines and names of the daemon and its workers, as `ps` shows them."""
    assert run.process is not None
    daemon = psutil.Process(run.process.pid)
    folders = [Path(f"/proc/{one.pid}") for one in (daemon, *daemon.children(recursive=True))]
    assert len(folders) >= 2
    return "\n".join((folder / name).read_text() for folder in folders for name in ("cmdline", "comm"))


def test_no_secret_is_shown(tmp_path: Path, start_nats: StartNats, database: str, login: Login) -> None:
    """Logs, status, settings, doctor, explain, process titles and dead letters contain no secret, neither during normal
    operation nor when a login is refused or a connection reset."""
    password = secret()
    server = start_nats(login.server)
    asyncio.run(publish(server, login, [b'{"name":"m","value":1}', b"garbage"]))
    dsn = database.replace("://postgres@", f"://postgres:{password}@")
    assert password in dsn
    environ = {**login.environ, "CNPG_PASSWORD": secret()}
    secrets = [*login.secrets, password, environ["CNPG_PASSWORD"]]
    nats_config = {**login.daemon(server), "reconnect_wait": 0.1, "connect_timeout": 2}
    config = {"nats": nats_config, "postgres": {"dsn": dsn}, "streams": ["TELEMETRY"], "log": {"level": "debug"}}
    run = Run(tmp_path, config, environ)
    shown: dict[str, str] = {}

    def show(name: str, *arguments: str) -> None:
        done = command(*arguments, environ=run.environ)
        shown[name] = done.stdout + done.stderr

    show("migrate", "eventwriter", "migrate", "--config", str(run.config))
    run.start()
    try:
        run.until(lambda s: s["slots"][0]["dead_letters_total"] == 1, "dead letter written")
        shown["status"] = run.ctl("status", "--json").stdout + run.ctl("status").stdout
        shown["titles"] = process_titles(run)
        show("doctor", "eventwriter", "doctor", "--config", str(run.config))
        # Both servers disconnect the daemon, and NATS refuses its next login.
        server.stop()
        server.configure(login.other)
        server.start()
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            dead_letters = conn.execute("SELECT to_jsonb(d)::text FROM eventwriter_dead_letters d").fetchall()
        run.until(lambda s: s["slots"][0]["health"] == "degraded", "degraded")
        shown["status, refused"] = run.ctl("status", "--json").stdout
        show("doctor, refused", "eventwriter", "doctor", "--config", str(run.config))
    finally:
        run.stop()
    shown["log"], shown["dead letters"] = run.log(), str(dead_letters)
    show("config show", "eventwriter", "config", "--config", str(run.config), "show")
    show("config validate", "eventwriter", "config", "--config", str(run.config), "validate")
    (tmp_path / "payload").write_text("garbage")
    show("explain", "eventwriter", "--config", str(run.config), "explain", "telemetry.test", str(tmp_path / "payload"))
    run.config.write_text(json.dumps({**config, "nats": {**nats_config, "servers": f"{MARK}:{MARK}@:::", "port": 1}}))
    show("errors", "eventwriter", "config", "--config", str(run.config), "validate")

    assert all(len(text) > 20 for text in shown.values()), shown
    assert {} == {name: text for name, text in shown.items() if any(word in text for word in (*secrets, MARK))}
    assert "Traceback" not in shown["log"]

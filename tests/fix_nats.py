"""NATS servers with their own logins and certificates, and the credentials for them."""

import asyncio
import base64
import contextlib
import datetime as dt
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import nkeys
import pytest
import trustme

from eventwriter.config.settings import NatsSettings
from eventwriter.demo.binaries import nats_binary
from eventwriter.demo.process import Server, free_port
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.credit import PullLimits
from eventwriter.jetstream.pull import Pull
from eventwriter.jetstream.reorder import NOTHING_REDELIVERED, Redelivered

PEOPLE: dict[str, Any] = {"authorization": {"users": [{"user": "writer", "password": "s3cret"}]}}
"""A server's configuration with one user."""


class NatsServer(Server):
    """A nats-server with its address."""

    port: int = 0

    def configure(self, config: dict[str, Any]) -> None:
        """Write the configuration for the next start or reload."""
        whole = {"listen": f"127.0.0.1:{self.port}", "jetstream": {"store_dir": str(self.folder)}, **config}
        (self.folder / "nats.conf").write_text(json.dumps(whole))

    def reload(self) -> None:
        """Make the server read its configuration again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    @property
    def url(self) -> str:
        """The address of the server, without a login."""
        return f"nats://localhost:{self.port}"


StartNats = Callable[[dict[str, Any]], NatsServer]


@pytest.fixture
def start_nats(tmp_path: Path) -> Iterator[StartNats]:
    """A function that starts nats-servers with JetStream and further configuration; they are stopped after the test."""
    started: list[NatsServer] = []

    def start(config: dict[str, Any]) -> NatsServer:
        port, folder = free_port(), tmp_path / f"nats-{len(started)}"
        folder.mkdir()
        silent = bool(config.get("tls", {}).get("handshake_first"))

        def ready(_pid: int) -> bool:
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as probe:
                    return silent or probe.recv(4) == b"INFO"
            except OSError:
                return False

        command = [str(nats_binary()), "-c", str(folder / "nats.conf")]
        server = NatsServer("nats", command, ready, folder, signal.SIGTERM)
        server.port = port
        server.configure(config)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


@contextlib.asynccontextmanager
async def linked(settings: NatsSettings) -> AsyncIterator[NatsLink]:
    """Connect, and close the connection at the end."""
    link = NatsLink(settings, "test")
    try:
        await link.connect()
        yield link
    finally:
        await link.close()


def pulling(link: NatsLink, stream: str = "login") -> Pull:
    """Return a pull from the stream's durable `d`, like that of a worker."""

    async def nothing() -> Redelivered:
        return NOTHING_REDELIVERED

    subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.d"
    return Pull(link.client, subject, PullLimits(10, 10, 2**20), lambda: 10, lambda: 0.2, nothing)


async def until(true: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110  # what is watched is not ours to signal
            await asyncio.sleep(0.01)


def write_file(path: Path, text: str) -> str:
    """Write a file and return its path."""
    path.write_text(text)
    return str(path)


class Certificates:
    """A certificate authority, and the files of the certificates that it issued."""

    def __init__(self, folder: Path, authority: trustme.CA | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.authority = authority or trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str, *, common_name: str | None = None, days: int = 1) -> tuple[str, str]:
        """Return the files of a certificate for a host and of its key; with negative `days` it has expired."""
        until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        since = min(dt.datetime.now(dt.UTC), until) - dt.timedelta(days=1)
        leaf = self.authority.issue_cert(name, common_name=common_name, not_before=since, not_after=until)
        cert_file, key_file = self.folder / f"{name}-{days}.pem", self.folder / f"{name}-{days}.key"
        leaf.cert_chain_pems[0].write_to_path(cert_file)
        leaf.private_key_pem.write_to_path(key_file)
        return str(cert_file), str(key_file)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """A certificate authority of the test."""
    return Certificates(tmp_path / "certificates")


def new_key(prefix: int) -> Any:
    """Return a new nkey pair."""
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def public(key: Any) -> str:
    """Return the public key as text."""
    text: str = key.public_key.decode()
    return text


def jwt(issuer: Any, subject: Any, name: str, claims: dict[str, Any], until_s: float | None = None) -> str:
    """
    Return a NATS JWT, which ends at `until_s` since 1970.

    Source: NATS documentation, "JWT Authentication"; algorithm ed25519-nkey.
    """

    def part(value: dict[str, Any] | bytes) -> str:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    body: dict[str, Any] = {
        "jti": name,
        "iat": 1_700_000_000,
        "iss": public(issuer),
        "name": name,
        "sub": public(subject),
    }
    if until_s is not None:
        body["exp"] = int(until_s)
    text = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part({**body, 'nats': {**claims, 'version': 2}})}"
    return f"{text}.{part(issuer.sign(text.encode()))}"


class Account:
    """The only account of a server in operator mode, and its only user."""

    def __init__(self, account: Any, user: Any, config: dict[str, Any]) -> None:
        self.config = config
        """The server's configuration."""
        self._account, self._user = account, user

    def write(self, path: Path, until_s: float | None = None) -> None:
        """Write the user's .creds file, which expires at `until_s` since 1970."""
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
        path.write_text(
            "-----BEGIN NATS USER JWT-----\n"
            f"{jwt(self._account, self._user, 'U', claims, until_s)}\n"
            "------END NATS USER JWT------\n\n"
            "-----BEGIN USER NKEY SEED-----\n"
            f"{self._user.seed.decode()}\n"
            "------END USER NKEY SEED------\n"
        )


def operator_mode(folder: Path) -> tuple[dict[str, Any], Path]:
    """Return the configuration of a server in operator mode, and the .creds file of its only user."""
    account, path = operator_account(), folder / "user.creds"
    account.write(path)
    return account.config, path


def operator_account() -> Account:
    """Create an operator with an account and a user."""
    operator, account, system, user = (
        new_key(prefix)
        for prefix in (
            nkeys.PREFIX_BYTE_OPERATOR,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_USER,
        )
    )
    unlimited = dict.fromkeys(
        ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams",
         "consumer"), -1,
    )  # fmt: skip
    limits = {"limits": {**unlimited, "wildcards": True}, "type": "account"}
    config = {
        "operator": jwt(operator, operator, "O", {"type": "operator", "system_account": public(system)}),
        "system_account": public(system),
        "resolver": "MEMORY",
        "resolver_preload": {
            public(account): jwt(operator, account, "A", limits),
            public(system): jwt(operator, system, "SYS", {"type": "account"}),
        },
    }
    return Account(account, user, config)

"""Logins to NATS by every configurable method, at the first connection and after an outage."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nkeys
import pytest
from fix_nats import PEOPLE, Certificates, StartNats, linked, new_key, operator_mode, public, pulling, until, write_file

from eventwriter.config.settings import NatsSettings, NatsTls
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.api import JetStreamApi, stream_state
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import ConsumerSpec, ensure


async def pull_three(settings: NatsSettings) -> list[bytes]:
    """Log in, publish three messages and pull them from a durable consumer, as a worker does; return the payloads."""
    async with linked(settings) as link:
        jetstream = link.client.jetstream()
        await jetstream.add_stream(name="login", subjects=["login.>"])
        for n in range(3):
            await jetstream.publish("login.x", b"%d" % n)
        api = JetStreamApi(link.client)
        assert 3 == (await stream_state(api, "login")).last_seq
        await ensure(api, ConsumerSpec("login", "d", ("login.>",), 60.0, 100), None)

        pull = pulling(link)
        payloads: list[bytes] = []
        async for messages in pull.lists():
            payloads += [m.payload for m in messages]
            if len(payloads) >= 3:
                break
        await pull.close()
        return payloads


THREE = [b"0", b"1", b"2"]


@pytest.mark.parametrize("by_file", [False, True], ids=["value", "file"])
async def test_user_and_password_log_in(start_nats: StartNats, tmp_path: Path, by_file: bool) -> None:
    """A user logs in with a password from the configuration, or from a file that ends with a newline."""
    server = start_nats(PEOPLE)
    secret: dict[str, Any] = (
        {"password_file": write_file(tmp_path / "pw", "s3cret\n")} if by_file else {"password": "s3cret"}
    )

    assert THREE == await pull_three(NatsSettings(servers=(server.url,), user="writer", **secret))


@pytest.mark.parametrize("by_file", [False, True], ids=["value", "file"])
async def test_token_logs_in(start_nats: StartNats, tmp_path: Path, by_file: bool) -> None:
    """A token logs in, from the configuration or from a file."""
    server = start_nats({"authorization": {"token": "t0ken"}})
    secret: dict[str, Any] = {"token_file": write_file(tmp_path / "t", "t0ken\n")} if by_file else {"token": "t0ken"}

    assert THREE == await pull_three(NatsSettings(servers=(server.url,), **secret))


async def test_nkey_seed_file_logs_in(start_nats: StartNats, tmp_path: Path) -> None:
    """The seed file of an nkey logs in."""
    user = new_key(nkeys.PREFIX_BYTE_USER)
    server = start_nats({"authorization": {"users": [{"nkey": public(user)}]}})
    seed_file = write_file(tmp_path / "user.nk", user.seed.decode())

    assert THREE == await pull_three(NatsSettings(servers=(server.url,), nkey_seed_file=seed_file))


async def test_creds_file_logs_in(start_nats: StartNats, tmp_path: Path) -> None:
    """A .creds file, with JWT and nkey, logs in to a server in operator mode."""
    config, creds_file = operator_mode(tmp_path)
    server = start_nats(config)

    assert THREE == await pull_three(NatsSettings(servers=(server.url,), creds_file=str(creds_file)))


async def test_rotated_password_file_is_read_at_the_next_connect(start_nats: StartNats, tmp_path: Path) -> None:
    """A changed password file is read again, so that a rotated password needs no restart."""
    server = start_nats(PEOPLE)
    path = tmp_path / "pw"
    settings = NatsSettings(servers=(server.url,), user="writer", password_file=write_file(path, "old"))
    link = NatsLink(settings, "test")
    with pytest.raises(Fatal) as caught:
        await link.connect()
    assert "nats_login_refused" == caught.value.code

    write_file(path, "s3cret")

    assert THREE == await pull_three(settings)


@pytest.mark.parametrize("first", [False, True], ids=["after INFO", "handshake first"])
@pytest.mark.parametrize("mutual", [False, True], ids=["server only", "mutual"])
async def test_tls_connection_carries_messages(
    start_nats: StartNats, certificates: Certificates, mutual: bool, first: bool
) -> None:
    """TLS works before or after the server's greeting, with and without a client certificate."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file, "ca_file": certificates.ca_file, "verify": mutual}
    server = start_nats({"tls": {**tls, "handshake_first": first}})
    ours = certificates.issue("writer.example") if mutual else (None, None)

    settings = NatsSettings(
        servers=(server.url,),
        tls=NatsTls(ca_file=certificates.ca_file, cert_file=ours[0], key_file=ours[1], handshake_first=first),
    )

    assert THREE == await pull_three(settings)


async def test_server_name_is_checked_against_certificate(start_nats: StartNats, certificates: Certificates) -> None:
    """A certificate whose name differs from the server's address is accepted if it matches `server_name`."""
    cert_file, key_file = certificates.issue("nats.example")
    server = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file}})
    tls = NatsTls(ca_file=certificates.ca_file, server_name="nats.example")

    assert THREE == await pull_three(NatsSettings(servers=(server.url,), tls=tls))


async def test_client_certificate_logs_in(start_nats: StartNats, certificates: Certificates) -> None:
    """A server that maps certificates to users accepts the client certificate as the login."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file, "ca_file": certificates.ca_file, "verify_and_map": True}
    server = start_nats({"tls": tls, "authorization": {"users": [{"user": "writer.example"}]}})
    ours = certificates.issue("writer.example")
    mutual = NatsTls(ca_file=certificates.ca_file, cert_file=ours[0], key_file=ours[1])

    assert THREE == await pull_three(NatsSettings(servers=(server.url,), tls=mutual))


@pytest.mark.parametrize("problem", ["refuses the login", "untrusted certificate"])
async def test_one_usable_server_is_enough(
    start_nats: StartNats, certificates: Certificates, tmp_path: Path, problem: str
) -> None:
    """The usable one of two servers is found, whichever is tried first."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file}
    others = Certificates(tmp_path / "others").issue("localhost")
    bad: dict[str, Any] = (
        {"tls": tls, **PEOPLE}
        if problem == "refuses the login"
        else {"tls": {"cert_file": others[0], "key_file": others[1]}}
    )
    servers = (start_nats(bad).url, start_nats({"tls": tls}).url)
    settings = NatsSettings(servers=servers, tls=NatsTls(ca_file=certificates.ca_file), connect_timeout=5)

    for _ in range(8):
        async with linked(settings) as link:
            assert link.connected
            assert {s.removeprefix("nats://") for s in servers} == {s.netloc for s in link.client.servers}


def by_password(folder: Path) -> tuple[dict[str, Any], Path, dict[str, Any]]:
    path = folder / "pw"
    path.write_text("s3cret\n")
    return PEOPLE, path, {"user": "writer", "password_file": str(path)}


def by_creds(folder: Path) -> tuple[dict[str, Any], Path, dict[str, Any]]:
    config, path = operator_mode(folder)
    return config, path, {"creds_file": str(path)}


@pytest.mark.parametrize("method", [by_password, by_creds])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("")], ids=["missing", "empty"])
async def test_secret_file_damaged_during_outage_closes_connection(
    start_nats: StartNats, tmp_path: Path, method: Callable[..., Any], damage: Callable[[Path], Any]
) -> None:
    """A secret file that cannot be read at a reconnect is named, and the connection is closed."""
    config, path, login = method(tmp_path)
    server = start_nats(config)
    async with linked(NatsSettings(servers=(server.url,), reconnect_wait=0.02, **login)) as link:
        text = path.read_text()

        damage(path)
        server.restart()

        await until(lambda: link.client.is_closed)
        assert str(path) in str(link.last_error)
        path.write_text(text)
        await link.connect()
        assert link.connected


async def test_password_rotated_during_outage_is_used(start_nats: StartNats, tmp_path: Path) -> None:
    """A reconnect reads the password file again, so both sides may change while the connection is down."""
    server = start_nats(PEOPLE)
    path = tmp_path / "pw"
    settings = NatsSettings(
        servers=(server.url,), user="writer", password_file=write_file(path, "s3cret"), reconnect_wait=0.02
    )
    async with linked(settings) as link:
        server.stop()
        write_file(path, "n3w")
        server.configure({"authorization": {"users": [{"user": "writer", "password": "n3w"}]}})
        server.start()

        await until(lambda: link.reconnects == 1)
        assert link.connected


async def test_removed_user_ends_pull(start_nats: StartNats) -> None:
    """A server that disconnects a removed user ends the pull, so that the next connection reports the reason."""
    server = start_nats(PEOPLE)
    settings = NatsSettings(servers=(server.url,), user="writer", password="s3cret", reconnect_wait=0.02)
    async with linked(settings) as link:
        await link.client.jetstream().add_stream(name="login", subjects=["login.>"])
        await ensure(JetStreamApi(link.client), ConsumerSpec("login", "d", ("login.>",), 60.0, 100), None)
        pull = pulling(link)

        server.configure({"authorization": {"users": [{"user": "other", "password": "x"}]}})
        server.reload()

        async def work() -> None:
            async for _ in pull.lists():
                pass

        with pytest.raises(Retryable) as caught:
            await asyncio.wait_for(work(), 10)
        assert "nats_connection_closed" == caught.value.code
        assert "refused the login" in str(link.last_error)

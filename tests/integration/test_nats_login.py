"""Logging in to NATS by every way that the configuration offers, at first and again after an outage."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nkeys
import pytest
from fix_nats import PEOPLE, Certificates, StartNats, linked, new_key, operator_mode, public, pulling, until, written

from eventwriter.config.settings import NatsSettings, NatsTls
from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.api import JetStreamApi, stream_state
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import ConsumerSpec, ensure


async def carried(settings: NatsSettings) -> list[bytes]:
    """Log in, store three messages, and pull them over a durable consumer, as a worker does."""
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
async def test_user_and_password(start_nats: StartNats, tmp_path: Path, by_file: bool) -> None:
    """User and password log in, the password from the configuration or from a file with a newline at its end."""
    server = start_nats(PEOPLE)
    secret: dict[str, Any] = (
        {"password_file": written(tmp_path / "pw", "s3cret\n")} if by_file else {"password": "s3cret"}
    )

    assert THREE == await carried(NatsSettings(servers=(server.url,), user="writer", **secret))


@pytest.mark.parametrize("by_file", [False, True], ids=["value", "file"])
async def test_token(start_nats: StartNats, tmp_path: Path, by_file: bool) -> None:
    """A token logs in, from the configuration or from a file."""
    server = start_nats({"authorization": {"token": "t0ken"}})
    secret: dict[str, Any] = {"token_file": written(tmp_path / "t", "t0ken\n")} if by_file else {"token": "t0ken"}

    assert THREE == await carried(NatsSettings(servers=(server.url,), **secret))


async def test_nkey_seed(start_nats: StartNats, tmp_path: Path) -> None:
    """An nkey's seed file logs in."""
    user = new_key(nkeys.PREFIX_BYTE_USER)
    server = start_nats({"authorization": {"users": [{"nkey": public(user)}]}})
    seed_file = written(tmp_path / "user.nk", user.seed.decode())

    assert THREE == await carried(NatsSettings(servers=(server.url,), nkey_seed_file=seed_file))


async def test_creds_file(start_nats: StartNats, tmp_path: Path) -> None:
    """A .creds file (JWT and nkey) logs in to a server in operator mode."""
    config, creds_file = operator_mode(tmp_path)
    server = start_nats(config)

    assert THREE == await carried(NatsSettings(servers=(server.url,), creds_file=str(creds_file)))


async def test_rotated_password_file_is_read_at_the_next_connect(start_nats: StartNats, tmp_path: Path) -> None:
    """A password file that changes is read anew, so that a rotated password needs no restart."""
    server = start_nats(PEOPLE)
    path = tmp_path / "pw"
    settings = NatsSettings(servers=(server.url,), user="writer", password_file=written(path, "old"))
    link = NatsLink(settings, "test")
    with pytest.raises(Fatal, match="refused the login"):
        await link.connect()

    written(path, "s3cret")

    assert THREE == await carried(settings)


@pytest.mark.parametrize("first", [False, True], ids=["after INFO", "handshake first"])
@pytest.mark.parametrize("mutual", [False, True], ids=["server only", "mutual"])
async def test_tls(start_nats: StartNats, certificates: Certificates, mutual: bool, first: bool) -> None:
    """TLS carries messages, with our certificate where the server asks for one, before or after its greeting."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file, "ca_file": certificates.ca_file, "verify": mutual}
    server = start_nats({"tls": {**tls, "handshake_first": first}})
    ours = certificates.issue("writer.example") if mutual else (None, None)

    settings = NatsSettings(
        servers=(server.url,),
        tls=NatsTls(ca_file=certificates.ca_file, cert_file=ours[0], key_file=ours[1], handshake_first=first),
    )

    assert THREE == await carried(settings)


async def test_server_name_is_what_the_certificate_must_carry(
    start_nats: StartNats, certificates: Certificates
) -> None:
    """A server whose certificate has another name than its address is accepted under `server_name`."""
    cert_file, key_file = certificates.issue("nats.example")
    server = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file}})
    tls = NatsTls(ca_file=certificates.ca_file, server_name="nats.example")

    assert THREE == await carried(NatsSettings(servers=(server.url,), tls=tls))


async def test_certificate_as_login(start_nats: StartNats, certificates: Certificates) -> None:
    """A server that maps certificates to users knows us by ours."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file, "ca_file": certificates.ca_file, "verify_and_map": True}
    server = start_nats({"tls": tls, "authorization": {"users": [{"user": "writer.example"}]}})
    ours = certificates.issue("writer.example")
    mutual = NatsTls(ca_file=certificates.ca_file, cert_file=ours[0], key_file=ours[1])

    assert THREE == await carried(NatsSettings(servers=(server.url,), tls=mutual))


@pytest.mark.parametrize("spoilt", ["refuses us", "certificate of somebody else"])
async def test_one_good_server_is_enough(
    start_nats: StartNats, certificates: Certificates, tmp_path: Path, spoilt: str
) -> None:
    """Whichever server is tried first, one that takes us is found beside one that does not."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file}
    others = Certificates(tmp_path / "others").issue("localhost")
    bad: dict[str, Any] = (
        {"tls": tls, **PEOPLE} if spoilt == "refuses us" else {"tls": {"cert_file": others[0], "key_file": others[1]}}
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


@pytest.mark.parametrize("way", [by_password, by_creds])
@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("")], ids=["missing", "empty"])
async def test_secret_file_is_spoilt_during_an_outage(
    start_nats: StartNats, tmp_path: Path, way: Callable[..., Any], spoil: Callable[[Path], Any]
) -> None:
    """A secret's file that cannot be used at a reconnect is named, and the connection given up for a new one."""
    config, path, login = way(tmp_path)
    server = start_nats(config)
    async with linked(NatsSettings(servers=(server.url,), reconnect_wait=0.02, **login)) as link:
        text = path.read_text()

        spoil(path)
        server.restart()

        await until(lambda: link.client.is_closed)
        assert str(path) in str(link.last_error)
        path.write_text(text)
        await link.connect()
        assert link.connected


async def test_password_rotated_during_an_outage(start_nats: StartNats, tmp_path: Path) -> None:
    """A reconnect reads the password file anew: both sides may change while the connection is down."""
    server = start_nats(PEOPLE)
    path = tmp_path / "pw"
    settings = NatsSettings(
        servers=(server.url,), user="writer", password_file=written(path, "s3cret"), reconnect_wait=0.02
    )
    async with linked(settings) as link:
        server.stop()
        written(path, "n3w")
        server.configure({"authorization": {"users": [{"user": "writer", "password": "n3w"}]}})
        server.start()

        await until(lambda: link.reconnects == 1)
        assert link.connected


async def test_user_is_removed_while_connected(start_nats: StartNats) -> None:
    """A server that throws us out ends the pull, so that the next connection says what is wrong."""
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

        with pytest.raises(Retryable, match="has closed the connection"):
            await asyncio.wait_for(work(), 10)
        assert "refused the login" in str(link.last_error)

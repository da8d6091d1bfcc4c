"""The words where NATS refuses us: the login, TLS, a permission; and where nobody is there."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from fix_nats import PEOPLE, Certificates, StartNats, linked, pulling

from eventwriter.config.settings import NatsSettings, NatsTls
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.jetstream.acks import ACK, publish_answers
from eventwriter.jetstream.api import JetStreamApi, stream_state
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import ConsumerSpec, ensure
from eventwriter.jetstream.login import tls_context


async def refused(settings: NatsSettings) -> EventwriterError:
    """Return what a refused login raises."""
    link = NatsLink(settings, "test")
    try:
        await link.connect()
    except EventwriterError as error:
        return error
    finally:
        await link.close()
    raise AssertionError("the login was accepted")


@pytest.mark.parametrize(
    "login",
    [{}, {"user": "writer", "password": "wrong"}, {"token": "wrong"}],
    ids=["no login", "wrong password", "token where a user is wanted"],
)
async def test_refused_login(start_nats: StartNats, login: dict[str, Any]) -> None:
    """A refused login is one sentence with the server and the keys to look at, and is not retried as an outage."""
    server = start_nats(PEOPLE)

    error = await refused(NatsSettings(servers=(server.url,), **login))

    assert isinstance(error, Fatal)
    assert f"NATS at {server.url} refused the login: check nats.user/password" in str(error)
    assert "wrong" not in str(error)


@pytest.mark.parametrize("case", ["unknown authority", "expired", "another name"])
async def test_certificate_that_does_not_verify(
    start_nats: StartNats, certificates: Certificates, tmp_path: Path, case: str
) -> None:
    """A server whose certificate does not verify is refused with the reason, within the connect timeout."""
    name, days = ("nats.example", 1) if case == "another name" else ("localhost", -1 if case == "expired" else 1)
    cert_file, key_file = certificates.issue(name, days=days)
    server = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file}})
    ca_file = Certificates(tmp_path / "others").ca_file if case == "unknown authority" else certificates.ca_file

    error = await refused(NatsSettings(servers=(server.url,), tls=NatsTls(ca_file=ca_file), connect_timeout=5))

    words = {"unknown authority": "certificate verify failed", "expired": "expired", "another name": "mismatch"}
    assert isinstance(error, Fatal)
    assert "TLS to NATS at" in str(error)
    assert words[case] in str(error)


async def test_missing_client_certificate(start_nats: StartNats, certificates: Certificates) -> None:
    """A server that wants our certificate refuses us without one, in a sentence that names TLS."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file, "ca_file": certificates.ca_file, "verify": True}
    server = start_nats({"tls": tls})

    error = await refused(
        NatsSettings(servers=(server.url,), tls=NatsTls(ca_file=certificates.ca_file), connect_timeout=3)
    )

    assert "nats.tls" in str(error)
    assert "cert_file" in str(error)


async def test_certificate_of_an_authority_that_the_server_does_not_trust(
    start_nats: StartNats, certificates: Certificates, tmp_path: Path
) -> None:
    """A client certificate that the server refuses is named as the thing to look at."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file, "ca_file": certificates.ca_file, "verify": True}
    server = start_nats({"tls": tls})
    ours = Certificates(tmp_path / "others").issue("writer.example")
    mutual = NatsTls(ca_file=certificates.ca_file, cert_file=ours[0], key_file=ours[1])

    error = await refused(NatsSettings(servers=(server.url,), tls=mutual, connect_timeout=5, reconnect_wait=0.02))

    assert "nats.tls.cert_file" in str(error)


async def test_server_with_tls_that_we_do_not_expect(start_nats: StartNats, certificates: Certificates) -> None:
    """TLS that is not set up as the server's is refused with the key to look at, whichever way it differs."""
    cert_file, key_file = certificates.issue("localhost")
    after = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file}})
    first = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file, "handshake_first": True, "timeout": 0.3}})
    early = NatsTls(ca_file=certificates.ca_file, handshake_first=True)
    late = NatsTls(ca_file=certificates.ca_file)

    without = await refused(NatsSettings(servers=(after.url,), connect_timeout=5))
    too_early = await refused(NatsSettings(servers=(after.url,), tls=early, connect_timeout=0.3))
    too_late = await refused(NatsSettings(servers=(first.url,), tls=late, connect_timeout=5))

    assert "check nats.tls.ca_file" in str(without)
    assert "nats.tls.handshake_first" in str(too_early)
    assert "needs nats.tls.handshake_first" in str(too_late)


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_server_without_tls_never_gets_the_password(scheme: str) -> None:
    """Where TLS is asked for, a server that offers none is refused before the login is sent."""
    heard = bytearray()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.12.0","auth_required":true,"max_payload":1048576}\r\n')
        while data := await reader.read(1000):
            heard.extend(data)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        error = await refused(
            NatsSettings(
                servers=(f"{scheme}://127.0.0.1:{port}",),
                user="writer",
                password="s3cret",
                tls=NatsTls() if scheme == "nats" else None,
                connect_timeout=3,
            )
        )

    assert isinstance(error, Fatal)
    assert "it offers no TLS" in str(error)
    assert bytearray() == heard


async def test_server_that_offers_tls_without_requiring_it(start_nats: StartNats, certificates: Certificates) -> None:
    """TLS that is only offered is taken where it was asked for."""
    cert_file, key_file = certificates.issue("localhost")
    server = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file}, "allow_non_tls": True})
    async with linked(NatsSettings(servers=(server.url,), tls=NatsTls(ca_file=certificates.ca_file))) as link:
        answer = await link.client.request("$SYS.REQ.USER.INFO", b"", timeout=2)

        assert link.client._transport._io_writer.get_extra_info("cipher")  # nats-py has no public way to see it
        assert answer.data


READER = {"user": "writer", "password": "s3cret"}


@pytest.mark.parametrize(
    ("permissions", "words"),
    [
        ({"publish": {"deny": ["$JS.API.STREAM.>"]}}, "publishing to $JS.API.STREAM.INFO.Login: grant our user"),
        ({"subscribe": {"deny": ["_INBOX.>"]}}, "the subscription to _INBOX.>: grant our user `subscribe`"),
        ({"publish": {"deny": ["$JS.API.CONSUMER.MSG.NEXT.>"]}}, "publishing to $JS.API.CONSUMER.MSG.NEXT.Login.d: "),
        ({"publish": {"deny": ["$JS.ACK.>"]}}, "publishing to $JS.ACK.>: grant our user"),
    ],
    ids=["asking", "hearing", "pulling", "acknowledging"],
)
async def test_permission_is_missing(start_nats: StartNats, permissions: dict[str, Any], words: str) -> None:
    """A permission that we lack parks the slot at once, with the subject and what to grant."""
    users = [{**READER, "permissions": permissions}, {"user": "maker", "password": "m"}]
    server = start_nats({"authorization": {"users": users}})
    async with linked(NatsSettings(servers=(server.url,), user="maker", password="m")) as maker:
        await maker.client.jetstream().add_stream(name="Login", subjects=["login.>"])
        await ensure(JetStreamApi(maker.client), ConsumerSpec("Login", "d", ("login.>",), 60.0, 100), None)

    async def work(link: NatsLink) -> None:
        await stream_state(JetStreamApi(link.client), "Login")
        pull = pulling(link, "Login")
        await publish_answers(link.client, ["$JS.ACK.Login.d.1.1.1.0.0"], ACK)
        async for _ in pull.lists():
            pass

    async with linked(NatsSettings(servers=(server.url,), **READER)) as link:
        with pytest.raises(Fatal) as caught:
            await asyncio.wait_for(work(link), 3)

    assert f"NATS denies {words}" in str(caught.value)
    assert str(caught.value) == link.last_error


async def test_refusal_whose_words_come_late() -> None:
    """A refusal wins over the reset that goes with it, also where the reset was seen first."""
    info = b'INFO {"server_id":"x","version":"2.12.0","auth_required":true,"max_payload":1048576}\r\n'
    visits = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        writer.write(info)
        await reader.readline()
        if visits == 1:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            writer.write(b"-ERR 'Authorization Violation'\r\n")
            await writer.drain()
        writer.transport.abort() if visits == 1 else writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listener:
        url = f"nats://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        error = await refused(NatsSettings(servers=(url,), connect_timeout=5, reconnect_wait=0.02))

    assert isinstance(error, Fatal)
    assert "refused the login" in str(error)
    assert 2 == visits


async def test_nobody_there() -> None:
    """An address where nobody listens is an outage, said with the address."""
    error = await refused(NatsSettings(servers=("nats://u:s3cret@127.0.0.1:1",), connect_timeout=2))

    assert isinstance(error, Retryable)
    assert "cannot reach NATS at nats://127.0.0.1:1" in str(error)
    assert "s3cret" not in str(error)


async def test_server_that_says_nothing() -> None:
    """An address that is silent is left after the connect timeout."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"nats://127.0.0.1:{silent.getsockname()[1]}"

        error = await refused(NatsSettings(servers=(url,), connect_timeout=0.2))

    assert isinstance(error, Retryable)
    assert f"cannot reach NATS at {url}" in str(error)


@pytest.mark.parametrize("content", [None, "", "garbage\n"], ids=["missing", "empty", "garbage"])
@pytest.mark.parametrize("key", ["creds_file", "nkey_seed_file", "tls.ca_file", "tls.cert_file"])
async def test_file_that_cannot_be_used(tmp_path: Path, key: str, content: str | None) -> None:
    """A login or certificate file that cannot be used is named with its key, before any server is asked."""
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    login = {"tls": {key[4:]: str(path)}} if key.startswith("tls.") else {key: str(path)}

    error = await refused(NatsSettings.model_validate({"servers": ("nats://127.0.0.1:1",), **login}))

    assert isinstance(error, Fatal)
    assert str(error).startswith(f"nats.{key}: {path}")
    assert "garbage" not in str(error)


def test_key_that_is_encrypted(certificates: Certificates, tmp_path: Path) -> None:
    """An encrypted key is refused with a sentence; nobody is asked for its password at the terminal."""
    from cryptography.hazmat.primitives import serialization as forms

    cert_file, key_file = certificates.issue("writer.example")
    key = forms.load_pem_private_key(Path(key_file).read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.TraditionalOpenSSL, forms.BestAvailableEncryption(b"x")
        )
    )
    tls = NatsTls(ca_file=certificates.ca_file, cert_file=cert_file, key_file=str(locked))

    with pytest.raises(Fatal, match="the key not encrypted"):
        tls_context(tls)


async def test_address_that_is_none() -> None:
    """An address that nobody could connect to is said to be wrong, without the password in it."""
    error = await refused(NatsSettings(servers=("nats://u:s3cret@:4222",), connect_timeout=1))

    assert "nats://:4222" in str(error)
    assert "s3cret" not in str(error)

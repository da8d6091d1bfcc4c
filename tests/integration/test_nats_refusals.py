"""Errors of a NATS connection: refused login, TLS, missing permission, unreachable server."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from fix_nats import PEOPLE, Certificates, StartNats, linked, pulling

from eventwriter.config.settings import NatsSettings, NatsTls
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.jetstream.acks import ACK, publish_answers
from eventwriter.jetstream.api import JetStreamApi, stream_state
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import ConsumerSpec, ensure
from eventwriter.jetstream.login import tls_context


async def connect_error(settings: NatsSettings) -> EventwriterError:
    """Return the error of a connection attempt."""
    link = NatsLink(settings, "test")
    try:
        await link.connect()
    except EventwriterError as error:
        return error
    finally:
        await link.close()
    raise AssertionError("the connection was established")


@pytest.mark.parametrize(
    "login",
    [{}, {"user": "writer", "password": "wrong"}, {"token": "wrong"}],
    ids=["no login", "wrong password", "token instead of a user"],
)
async def test_refused_login_is_fatal(start_nats: StartNats, login: dict[str, Any]) -> None:
    """A refused login is fatal, names the server and the keys to check, and does not show the secret."""
    server = start_nats(PEOPLE)

    error = await connect_error(NatsSettings(servers=(server.url,), **login))

    assert (Fatal, "nats_login_refused") == (type(error), error.code)
    assert (True, True, False) == (
        server.url in error.message, "nats.password" in str(error.hint), "wrong" in str(error),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("case", "reason"),
    [("unknown authority", "certificate verify failed"), ("expired", "expired"), ("another name", "mismatch")],
)
async def test_certificate_that_does_not_verify_is_fatal(
    start_nats: StartNats, certificates: Certificates, tmp_path: Path, case: str, reason: str
) -> None:
    """A server certificate that does not verify is fatal within the connect timeout, with OpenSSL's reason."""
    name, days = ("nats.example", 1) if case == "another name" else ("localhost", -1 if case == "expired" else 1)
    cert_file, key_file = certificates.issue(name, days=days)
    server = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file}})
    ca_file = Certificates(tmp_path / "others").ca_file if case == "unknown authority" else certificates.ca_file

    error = await connect_error(NatsSettings(servers=(server.url,), tls=NatsTls(ca_file=ca_file), connect_timeout=5))

    assert (Fatal, "nats_tls_failed") == (type(error), error.code)
    assert reason in error.message


async def test_missing_client_certificate_is_fatal(start_nats: StartNats, certificates: Certificates) -> None:
    """A server that requires a client certificate is not connected to without one; the hint names the keys to set."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file, "ca_file": certificates.ca_file, "verify": True}
    server = start_nats({"tls": tls})
    settings = NatsSettings(servers=(server.url,), tls=NatsTls(ca_file=certificates.ca_file), connect_timeout=3)

    error = await connect_error(settings)

    assert ("nats_certificate_missing", True) == (error.code, "nats.tls.cert_file" in str(error.hint))


async def test_client_certificate_of_untrusted_authority_is_fatal(
    start_nats: StartNats, certificates: Certificates, tmp_path: Path
) -> None:
    """A client certificate that the server rejects is fatal; the hint names its key."""
    cert_file, key_file = certificates.issue("localhost")
    tls = {"cert_file": cert_file, "key_file": key_file, "ca_file": certificates.ca_file, "verify": True}
    server = start_nats({"tls": tls})
    ours = Certificates(tmp_path / "others").issue("writer.example")
    mutual = NatsTls(ca_file=certificates.ca_file, cert_file=ours[0], key_file=ours[1])

    error = await connect_error(NatsSettings(servers=(server.url,), tls=mutual, connect_timeout=5, reconnect_wait=0.02))

    assert "nats.tls.cert_file" in str(error.hint)


async def test_tls_settings_that_differ_from_server_are_named(
    start_nats: StartNats, certificates: Certificates
) -> None:
    """Whichever way the TLS settings differ from the server's, the hint names the key to check."""
    cert_file, key_file = certificates.issue("localhost")
    after = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file}})
    first = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file, "handshake_first": True, "timeout": 0.3}})
    early = NatsTls(ca_file=certificates.ca_file, handshake_first=True)
    late = NatsTls(ca_file=certificates.ca_file)

    without = await connect_error(NatsSettings(servers=(after.url,), connect_timeout=5))
    too_early = await connect_error(NatsSettings(servers=(after.url,), tls=early, connect_timeout=0.3))
    too_late = await connect_error(NatsSettings(servers=(first.url,), tls=late, connect_timeout=5))

    assert "nats.tls.ca_file" in str(without.hint)
    assert "nats.tls.handshake_first" in str(too_early.hint)
    assert "nats.tls.handshake_first" in str(too_late.hint)


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_server_without_tls_never_gets_password(scheme: str) -> None:
    """If TLS is configured, a server that offers none is refused before the login is sent."""
    received = bytearray()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.12.0","auth_required":true,"max_payload":1048576}\r\n')
        while data := await reader.read(1000):
            received.extend(data)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        error = await connect_error(
            NatsSettings(
                servers=(f"{scheme}://127.0.0.1:{port}",),
                user="writer",
                password="s3cret",
                tls=NatsTls() if scheme == "nats" else None,
                connect_timeout=3,
            )
        )

    assert (Fatal, "nats_tls_missing", bytearray()) == (type(error), error.code, received)


async def test_tls_that_server_only_offers_is_used(start_nats: StartNats, certificates: Certificates) -> None:
    """If TLS is configured, it is used with a server that offers it without requiring it."""
    cert_file, key_file = certificates.issue("localhost")
    server = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file}, "allow_non_tls": True})
    async with linked(NatsSettings(servers=(server.url,), tls=NatsTls(ca_file=certificates.ca_file))) as link:
        answer = await link.client.request("$SYS.REQ.USER.INFO", b"", timeout=2)

        assert link.client._transport._io_writer.get_extra_info("cipher")  # nats-py has no public way to see it
        assert answer.data


READER = {"user": "writer", "password": "s3cret"}


@pytest.mark.parametrize(
    ("permissions", "subject"),
    [
        ({"publish": {"deny": ["$JS.API.STREAM.>"]}}, "publishing to $JS.API.STREAM.INFO.Login"),
        ({"subscribe": {"deny": ["_INBOX.>"]}}, "the subscription to _INBOX.>"),
        ({"publish": {"deny": ["$JS.API.CONSUMER.MSG.NEXT.>"]}}, "publishing to $JS.API.CONSUMER.MSG.NEXT.Login.d"),
        ({"publish": {"deny": ["$JS.ACK.>"]}}, "publishing to $JS.ACK.>"),
    ],
    ids=["request", "inbox", "pull", "ack"],
)
async def test_missing_permission_is_fatal(start_nats: StartNats, permissions: dict[str, Any], subject: str) -> None:
    """A missing permission is fatal immediately, with the subject in its original spelling."""
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
            await asyncio.wait_for(work(link), 10)

    error = caught.value
    assert ("nats_permission_denied", f"NATS denies {subject}") == (error.code, error.message)
    assert str(error) == link.last_error


async def test_refusal_wins_over_earlier_reset() -> None:
    """A refused login is the reason also if the reset of its connection was seen first."""
    info = b'INFO {"server_id":"x","version":"2.12.0","auth_required":true,"max_payload":1048576}\r\n'
    connections = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(info)
        await reader.readline()
        if connections == 1:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            writer.write(b"-ERR 'Authorization Violation'\r\n")
            await writer.drain()
        writer.transport.abort() if connections == 1 else writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listener:
        url = f"nats://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        error = await connect_error(NatsSettings(servers=(url,), connect_timeout=5, reconnect_wait=0.02))

    assert (Fatal, "nats_login_refused", 2) == (type(error), error.code, connections)


async def test_unreachable_server_is_retryable() -> None:
    """A server without a listener is an outage; its address is shown without the password."""
    error = await connect_error(NatsSettings(servers=("nats://u:s3cret@127.0.0.1:1",), connect_timeout=2))

    assert (Retryable, "nats_unreachable") == (type(error), error.code)
    assert (True, False) == ("nats://127.0.0.1:1" in error.message, "s3cret" in str(error))


async def test_silent_server_is_retryable() -> None:
    """A server that sends nothing is given up after the connect timeout."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"nats://127.0.0.1:{silent.getsockname()[1]}"

        error = await connect_error(NatsSettings(servers=(url,), connect_timeout=0.2))

    assert (Retryable, "nats_unreachable", True) == (type(error), error.code, url in error.message)


@pytest.mark.parametrize("content", [None, "", "garbage\n"], ids=["missing", "empty", "garbage"])
@pytest.mark.parametrize("key", ["creds_file", "nkey_seed_file", "tls.ca_file", "tls.cert_file"])
async def test_unusable_file_is_fatal(tmp_path: Path, key: str, content: str | None) -> None:
    """A login or certificate file that cannot be used is named with its key, before any server is tried."""
    path = tmp_path / "file"
    if content is not None:
        path.write_text(content)
    login = {"tls": {key[4:]: str(path)}} if key.startswith("tls.") else {key: str(path)}

    error = await connect_error(NatsSettings.model_validate({"servers": ("nats://127.0.0.1:1",), **login}))

    assert (Fatal, "nats_file_unusable") == (type(error), error.code)
    assert (True, False) == (error.message.startswith(f"nats.{key}: {path}"), "garbage" in str(error))


def test_encrypted_key_is_fatal(certificates: Certificates, tmp_path: Path) -> None:
    """An encrypted key is refused; OpenSSL does not ask for its password at the terminal."""
    cert_file, key_file = certificates.issue("writer.example")
    key = serialization.load_pem_private_key(Path(key_file).read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    tls = NatsTls(ca_file=certificates.ca_file, cert_file=cert_file, key_file=str(encrypted))

    with pytest.raises(Fatal) as caught:
        tls_context(tls)

    assert ("nats_file_unusable", True) == (caught.value.code, "encrypted" in str(caught.value.hint))

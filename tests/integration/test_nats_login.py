"""Logging in to NATS by every way that the configuration offers, and the words where it is refused."""

from pathlib import Path
from typing import Any

import nkeys
import pytest
from fix_nats import Certificates, StartNats, new_key, operator_mode, public

from eventwriter.config.settings import NatsSettings, NatsTls
from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.jetstream.api import JetStreamApi, stream_state
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import ConsumerWish, ensure
from eventwriter.jetstream.pull import Pull, PullLimits


async def carried(settings: NatsSettings) -> list[bytes]:
    """Log in, store three messages, and pull them over a durable consumer, as a worker does."""
    link = NatsLink(settings, "test")
    await link.connect()
    try:
        jetstream = link.client.jetstream()
        await jetstream.add_stream(name="login", subjects=["login.>"])
        for n in range(3):
            await jetstream.publish("login.x", b"%d" % n)
        api = JetStreamApi(link.client)
        assert 3 == (await stream_state(api, "login")).last_seq
        await ensure(api, ConsumerWish("login", "d", ("login.>",), 60.0, 100), None)

        async def nothing() -> None:
            pass

        pull = Pull(
            link.client,
            "$JS.API.CONSUMER.MSG.NEXT.login.d",
            PullLimits(10, 10, 2**20),
            lambda: 10,
            lambda: 1.0,
            nothing,
        )
        payloads: list[bytes] = []
        async for messages in pull.lists():
            payloads += [m.payload for m in messages]
            if len(payloads) >= 3:
                break
        await pull.close()
        return payloads
    finally:
        await link.close()


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


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


PEOPLE = {"authorization": {"users": [{"user": "writer", "password": "s3cret"}]}}
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


async def test_tls_wanted_by_one_side_only(start_nats: StartNats, certificates: Certificates) -> None:
    """TLS that only one side wants is refused with the key to set or remove."""
    cert_file, key_file = certificates.issue("localhost")
    secured = start_nats({"tls": {"cert_file": cert_file, "key_file": key_file}})
    plain = start_nats({})
    tls = NatsTls(ca_file=certificates.ca_file)

    without = await refused(NatsSettings(servers=(secured.url,), connect_timeout=3))
    needless = await refused(NatsSettings(servers=(plain.url,), tls=tls, connect_timeout=3))

    assert "nats.tls" in str(without)
    assert "nats.tls" in str(needless)


async def test_permission_to_ask_is_missing(start_nats: StartNats) -> None:
    """An account that may not use JetStream's API is told so in a sentence, not by a hang."""
    user = {"user": "writer", "password": "s3cret", "permissions": {"publish": {"deny": ["$JS.API.>"]}}}
    server = start_nats({"authorization": {"users": [user]}})
    link = NatsLink(NatsSettings(servers=(server.url,), user="writer", password="s3cret"), "test")
    await link.connect()
    try:
        with pytest.raises(Retryable, match="permission"):
            await stream_state(JetStreamApi(link.client), "login")
        assert "permissions violation" in str(link.last_error).lower()
    finally:
        await link.close()


async def test_nobody_there() -> None:
    """An address where nobody listens is an outage, said with the address."""
    error = await refused(NatsSettings(servers=("nats://u:s3cret@127.0.0.1:1",), connect_timeout=2))

    assert isinstance(error, Retryable)
    assert "cannot reach NATS at nats://127.0.0.1:1" in str(error)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ({"creds_file": "{folder}/none.creds"}, "none.creds"),
        ({"nkey_seed_file": "{folder}/none.nk"}, "none.nk"),
        ({"creds_file": "{folder}/garbage"}, "garbage"),
        ({"nkey_seed_file": "{folder}/garbage"}, "garbage"),
        ({"tls": {"ca_file": "{folder}/none.pem"}}, "none.pem"),
        ({"tls": {"ca_file": "{folder}/garbage"}}, "garbage"),
    ],
)
async def test_file_that_cannot_be_used(
    start_nats: StartNats, tmp_path: Path, login: dict[str, Any], words: str
) -> None:
    """A login or certificate file that is missing or garbage is named."""
    (tmp_path / "garbage").write_text("garbage\n")
    server = start_nats(PEOPLE)
    text = str(login).replace("{folder}", str(tmp_path))

    error = await refused(NatsSettings.model_validate({"servers": (server.url,), "connect_timeout": 3, **eval(text)}))

    assert isinstance(error, Fatal)
    assert words in str(error)

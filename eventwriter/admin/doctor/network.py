"""
Checks of the way to the servers: names, and TLS with the certificates that servers show.

Handshakes are made by ourselves, beside the drivers, because a driver says only that
it failed, and nothing of a certificate that will end next week.
"""

import asyncio
import dataclasses
import datetime as dt
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from eventwriter.admin.doctor.certificate import not_after
from eventwriter.admin.doctor.context import Case
from eventwriter.admin.doctor.files import ending
from eventwriter.admin.doctor.findings import Check, Finding, Reporter, Status
from eventwriter.config.settings import NatsSettings, PostgresSettings
from eventwriter.errors import Fatal
from eventwriter.jetstream.errors import connection_error
from eventwriter.jetstream.login import tls_context
from eventwriter.postgres.connect import Tls, endpoints, tls_of

_LIMIT_S = 5.0
"""For one name, and for one handshake."""
_INFO_BYTES_MAX = 64 * 1024
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""Source: PostgreSQL documentation, "Message Formats", SSLRequest."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server's host and port, and the name that its certificate is to be for."""

    host: str
    port: int
    name: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def nats_checks(case: Case) -> list[Check]:
    """Return the checks of the way to NATS."""
    settings = case.settings.nats
    places = nats_places(settings)

    async def names(voice: Reporter) -> Iterable[Finding]:
        return await resolve(voice, places)

    async def tls(voice: Reporter) -> Iterable[Finding]:
        if not wants_tls(settings):
            return [voice.skip("nats.tls is not set, and no server is tls://")]
        return softened(
            [await _in_thread(voice, place, lambda p: nats_handshake(voice, settings, p)) for place in places]
        )

    return [Check("NATS", "names", names), Check("NATS", "TLS", tls, ("NATS: names",))]


def postgres_checks(case: Case) -> list[Check]:
    """Return the checks of the way to PostgreSQL."""
    settings = case.settings.postgres
    places = [Place(one.host, one.port, one.name) for one in endpoints(settings) if not one.is_socket]

    async def names(voice: Reporter) -> Iterable[Finding]:
        return await resolve(voice, places)

    async def tls(voice: Reporter) -> Iterable[Finding]:
        if not places:
            return [voice.skip("PostgreSQL is reached by a Unix socket")]
        return softened(
            [await _in_thread(voice, place, lambda p: postgres_handshake(voice, settings, p)) for place in places]
        )

    return [Check("PostgreSQL", "names", names), Check("PostgreSQL", "TLS", tls, ("PostgreSQL: names",))]


def nats_places(settings: NatsSettings) -> list[Place]:
    """Return the servers' hosts and ports, without logins."""
    ports = {"ws": 80, "wss": 443}
    parts = [urlsplit(server) for server in settings.servers]
    named = settings.tls.server_name if settings.tls else None
    hosts = [(part.hostname or "localhost", part.port or ports.get(part.scheme, 4222)) for part in parts]
    return [Place(host, port, named or host) for host, port in hosts]


def wants_tls(settings: NatsSettings) -> bool:
    """Whether we insist on TLS to NATS."""
    return settings.tls is not None or any(server.startswith("tls://") for server in settings.servers)


async def resolve(voice: Reporter, places: Sequence[Place]) -> list[Finding]:
    """Look names up; one that is known is enough to work with, none is a failure."""
    if not places:
        return [voice.skip("there is no host: it is a Unix socket")]
    found: list[tuple[Place, str | None]] = [(place, await _lookup(place)) for place in places]
    wrong = [(place, why) for place, why in found if why]
    if not wrong:
        return [voice.ok(", ".join(place.host for place in places))]
    hint = "check the spelling, /etc/resolv.conf, and that the name server answers"
    say = voice.fail if len(wrong) == len(found) else voice.warn
    return [say(f"{place.host} cannot be resolved: {why}", hint) for place, why in wrong]


async def _lookup(place: Place) -> str | None:
    try:
        async with asyncio.timeout(_LIMIT_S):
            await asyncio.get_running_loop().getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        return f"no answer within {_LIMIT_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return None


async def _in_thread(voice: Reporter, place: Place, look: Callable[[Place], Finding]) -> Finding:
    try:
        return await asyncio.get_running_loop().run_in_executor(None, look, place)
    except OSError as error:
        return voice.fail(f"{place}: {error.strerror or error}", "see whether the server listens there, and firewalls")


def softened(findings: list[Finding]) -> list[Finding]:
    """Return findings of several servers: where one will do, the others' failures are warnings."""
    if all(finding.status is Status.FAIL for finding in findings):
        return findings
    return [
        dataclasses.replace(finding, status=Status.WARN) if finding.status is Status.FAIL else finding
        for finding in findings
    ]


def nats_handshake(voice: Reporter, settings: NatsSettings, place: Place) -> Finding:
    """
    Make a TLS handshake with a NATS server, after its greeting unless it begins with TLS.

    Raises:
        OSError: It is not there.
    """
    tls = settings.tls
    try:
        context = tls_context(tls) if tls else ssl.create_default_context()
    except Fatal as error:
        return voice.fail(str(error), "mend the file")
    with socket.create_connection((place.host, place.port), _LIMIT_S) as raw:
        if not (tls and tls.handshake_first):
            greeting = raw.recv(_INFO_BYTES_MAX)
            if not greeting.startswith(b"INFO"):
                return voice.fail(
                    f"{place} does not greet as NATS does", "one that begins with TLS needs nats.tls.handshake_first"
                )
            if b'"tls_required":true' not in greeting and b'"tls_available":true' not in greeting:
                return voice.fail(f"{place} offers no TLS", "set it up there, or take nats.tls and tls:// away")
        try:
            with context.wrap_socket(raw, server_hostname=place.name) as secure:
                return _shown(voice, place, secure, verified=True)
        except ssl.SSLError as error:
            failed = connection_error(error, (str(place),))
            return voice.fail(failed.message, failed.hint or "")


def postgres_handshake(voice: Reporter, settings: PostgresSettings, place: Place) -> Finding:
    """
    Ask a PostgreSQL server for TLS, and make the handshake as libpq would.

    Raises:
        OSError: It is not there.
    """
    wish = tls_of(settings)
    if wish.mode == "disable":
        return voice.skip("postgres.sslmode is disable")
    with socket.create_connection((place.host, place.port), _LIMIT_S) as raw:
        raw.sendall(_SSL_REQUEST)
        if raw.recv(1) != b"S":
            if wish.required:
                return voice.fail(f"{place} has no TLS, and sslmode is {wish.mode}", "set ssl = on in postgresql.conf")
            if _is_near(raw):
                return voice.ok(f"{place} has no TLS; it is on this host")
            return voice.warn(
                f"{place} has no TLS: rows and logins go in the clear",
                "set ssl = on there, and postgres.sslrootcert here",
            )
        return _secured(voice, wish, place, raw)


def _secured(voice: Reporter, wish: Tls, place: Place, raw: socket.socket) -> Finding:
    """Make the handshake with a PostgreSQL server that is ready for it."""
    try:
        context = ssl.create_default_context(cafile=wish.authorities) if wish.verified else _unverified()
    except OSError as error:
        return voice.fail(
            f"{wish.authorities}, whom to trust: {error.strerror or error}",
            "set postgres.sslrootcert: a PEM file, or system",
        )
    context.check_hostname = wish.mode == "verify-full"
    near = _is_near(raw)  # before the handshake takes the socket over
    if wish.certificate:
        context.load_cert_chain(wish.certificate, wish.key, password="")
    try:
        with context.wrap_socket(raw, server_hostname=place.name) as secure:
            return _shown(voice, place, secure, wish.verified or near)
    except ssl.SSLError as error:
        return voice.fail(
            f"{place}: {error.reason or error}".replace("_", " ").lower()
            + (f": {error.verify_message}" if isinstance(error, ssl.SSLCertVerificationError) else ""),
            "check postgres.sslrootcert, host, sslcert and sslkey",
        )


def _unverified() -> ssl.SSLContext:
    # What libpq does in the modes prefer and require; only to look at the certificate, nothing is sent.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_near(raw: socket.socket) -> bool:
    """Whether a connection stays on this host."""
    return bool(raw.getpeername()[0] == raw.getsockname()[0])


def _shown(voice: Reporter, place: Place, secure: ssl.SSLSocket, verified: bool) -> Finding:
    """Say what was agreed on, and when the certificate that was shown ends."""
    der = secure.getpeercert(binary_form=True)
    if not der:
        return voice.fail(f"{place} shows no certificate", "give the server one")
    finding = ending(voice, f"{place}, {secure.version()}, certificate", not_after(der), dt.datetime.now(dt.UTC))
    if verified or finding.hint:
        return finding
    return voice.warn(f"{finding.sentence}, not verified", "set postgres.sslrootcert, which makes sslmode verify-full")

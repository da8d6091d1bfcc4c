"""
Checks of the network: host names, and TLS with the certificates of the servers.

The checks perform their own TLS handshakes, because a driver reports only a failure and not,
for example, a certificate that expires next week.
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
from eventwriter.admin.doctor.context import Context
from eventwriter.admin.doctor.files import expiry
from eventwriter.admin.doctor.findings import Check, Finding, Reporter, Status
from eventwriter.config.settings import NatsSettings, PostgresSettings
from eventwriter.errors import Fatal
from eventwriter.jetstream.errors import connection_error
from eventwriter.jetstream.login import tls_context
from eventwriter.postgres.connect import Tls, endpoints, tls_of

_LIMIT_S = 5.0
"""Time limit for one name or one handshake."""
_INFO_BYTES_MAX = 64 * 1024
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""Source: PostgreSQL documentation, "Message Formats", SSLRequest."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host and port of a server, and the name that its certificate must match."""

    host: str
    port: int
    name: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def nats_checks(context: Context) -> list[Check]:
    """Return the network checks of NATS."""
    settings = context.settings.nats
    servers = nats_endpoints(settings)

    async def names(report: Reporter) -> Iterable[Finding]:
        return await resolve(report, servers)

    async def tls(report: Reporter) -> Iterable[Finding]:
        if not requires_tls(settings):
            return [report.skip("nats.tls is not set, and no server is tls://")]
        return downgrade_partial(
            [await _in_thread(report, endpoint, lambda p: nats_handshake(report, settings, p)) for endpoint in servers]
        )

    return [Check("NATS", "names", names), Check("NATS", "TLS", tls, ("NATS: names",))]


def postgres_checks(context: Context) -> list[Check]:
    """Return the network checks of PostgreSQL."""
    settings = context.settings.postgres
    servers = [
        Endpoint(server.host, server.port, server.name) for server in endpoints(settings) if not server.is_socket
    ]

    async def names(report: Reporter) -> Iterable[Finding]:
        return await resolve(report, servers)

    async def tls(report: Reporter) -> Iterable[Finding]:
        if not servers:
            return [report.skip("PostgreSQL is connected through a Unix socket")]
        return downgrade_partial(
            [
                await _in_thread(report, endpoint, lambda p: postgres_handshake(report, settings, p))
                for endpoint in servers
            ]
        )

    return [Check("PostgreSQL", "names", names), Check("PostgreSQL", "TLS", tls, ("PostgreSQL: names",))]


def nats_endpoints(settings: NatsSettings) -> list[Endpoint]:
    """Return the hosts and ports of the NATS servers."""
    ports = {"ws": 80, "wss": 443}
    parts = [urlsplit(server) for server in settings.servers]
    name = settings.tls.server_name if settings.tls else None
    hosts = [(part.hostname or "localhost", part.port or ports.get(part.scheme, 4222)) for part in parts]
    return [Endpoint(host, port, name or host) for host, port in hosts]


def requires_tls(settings: NatsSettings) -> bool:
    """Return whether the settings require TLS to NATS."""
    return settings.tls is not None or any(server.startswith("tls://") for server in settings.servers)


async def resolve(report: Reporter, servers: Sequence[Endpoint]) -> list[Finding]:
    """Resolve the host names; the check fails only if none can be resolved."""
    if not servers:
        return [report.skip("no host: PostgreSQL is connected through a Unix socket")]
    found: list[tuple[Endpoint, str | None]] = [(endpoint, await _lookup(endpoint)) for endpoint in servers]
    unresolved = [(endpoint, why) for endpoint, why in found if why]
    if not unresolved:
        return [report.ok(", ".join(endpoint.host for endpoint in servers))]
    hint = "check the spelling, /etc/resolv.conf, and that the name server answers"
    finding = report.fail if len(unresolved) == len(found) else report.warn
    return [finding(f"{endpoint.host} cannot be resolved: {why}", hint) for endpoint, why in unresolved]


async def _lookup(endpoint: Endpoint) -> str | None:
    try:
        async with asyncio.timeout(_LIMIT_S):
            await asyncio.get_running_loop().getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        return f"no answer within {_LIMIT_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return None


async def _in_thread(report: Reporter, endpoint: Endpoint, handshake: Callable[[Endpoint], Finding]) -> Finding:
    try:
        return await asyncio.get_running_loop().run_in_executor(None, handshake, endpoint)
    except OSError as error:
        return report.fail(
            f"{endpoint}: {error.strerror or error}", "check that the server is listening there, and firewalls"
        )


def downgrade_partial(findings: list[Finding]) -> list[Finding]:
    """Return the findings of several servers; if one of them works, failures of the others become warnings."""
    if all(finding.status is Status.FAIL for finding in findings):
        return findings
    return [
        dataclasses.replace(finding, status=Status.WARN) if finding.status is Status.FAIL else finding
        for finding in findings
    ]


def nats_handshake(report: Reporter, settings: NatsSettings, endpoint: Endpoint) -> Finding:
    """
    Perform a TLS handshake with a NATS server, after its INFO unless it uses handshake_first.

    Raises:
        OSError: The server is unreachable.
    """
    tls = settings.tls
    try:
        context = tls_context(tls) if tls else ssl.create_default_context()
    except Fatal as error:
        return report.error(error, "correct the file")
    with socket.create_connection((endpoint.host, endpoint.port), _LIMIT_S) as raw:
        if not (tls and tls.handshake_first):
            greeting = raw.recv(_INFO_BYTES_MAX)
            if not greeting.startswith(b"INFO"):
                return report.fail(
                    f"{endpoint} does not send the INFO of a NATS server",
                    "set nats.tls.handshake_first if the server expects TLS first",
                )
            if b'"tls_required":true' not in greeting and b'"tls_available":true' not in greeting:
                return report.fail(
                    f"{endpoint} offers no TLS", "enable TLS on the server, or remove nats.tls and tls://"
                )
        try:
            with context.wrap_socket(raw, server_hostname=endpoint.name) as secure:
                return _certificate_finding(report, endpoint, secure, verified=True)
        except ssl.SSLError as error:
            refusal = connection_error(error, (str(endpoint),))
            return report.error(refusal, "check nats.tls.ca_file and the certificate of the server")


def postgres_handshake(report: Reporter, settings: PostgresSettings, endpoint: Endpoint) -> Finding:
    """
    Request TLS from a PostgreSQL server and perform the handshake as libpq does.

    Raises:
        OSError: The server is unreachable.
    """
    tls = tls_of(settings)
    if tls.mode == "disable":
        return report.skip("postgres.sslmode is disable")
    with socket.create_connection((endpoint.host, endpoint.port), _LIMIT_S) as raw:
        raw.sendall(_SSL_REQUEST)
        if raw.recv(1) != b"S":
            if tls.required:
                return report.fail(
                    f"{endpoint} has no TLS, but sslmode is {tls.mode}", "set ssl = on in postgresql.conf"
                )
            if _is_near(raw):
                return report.ok(f"{endpoint} has no TLS; it is on this host")
            return report.warn(
                f"{endpoint} has no TLS: rows and logins are sent unencrypted",
                "set ssl = on there, and postgres.sslrootcert here",
            )
        return _secured(report, tls, endpoint, raw)


def _secured(report: Reporter, tls: Tls, endpoint: Endpoint, raw: socket.socket) -> Finding:
    """Perform the handshake with a PostgreSQL server that accepted TLS."""
    try:
        context = ssl.create_default_context(cafile=tls.authorities) if tls.verified else _unverified()
    except OSError as error:
        return report.fail(
            f"certificate authorities {tls.authorities}: {error.strerror or error}",
            "set postgres.sslrootcert: a PEM file, or system",
        )
    context.check_hostname = tls.mode == "verify-full"
    near = _is_near(raw)  # before the handshake wraps the socket
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key, password="")
    try:
        with context.wrap_socket(raw, server_hostname=endpoint.name) as secure:
            return _certificate_finding(report, endpoint, secure, tls.verified or near)
    except ssl.SSLError as error:
        return report.fail(
            f"{endpoint}: {error.reason or error}".replace("_", " ").lower()
            + (f": {error.verify_message}" if isinstance(error, ssl.SSLCertVerificationError) else ""),
            "check postgres.sslrootcert, host, sslcert and sslkey",
        )


def _unverified() -> ssl.SSLContext:
    # As libpq does in the modes prefer and require. Only the certificate is read; nothing is sent.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_near(raw: socket.socket) -> bool:
    """Return whether a connection stays on this host."""
    return bool(raw.getpeername()[0] == raw.getsockname()[0])


def _certificate_finding(report: Reporter, endpoint: Endpoint, secure: ssl.SSLSocket, verified: bool) -> Finding:
    """Return the TLS version and the expiry of the server's certificate."""
    der = secure.getpeercert(binary_form=True)
    if not der:
        return report.fail(f"{endpoint} presents no certificate", "configure a certificate on the server")
    finding = expiry(report, f"{endpoint}, {secure.version()}, certificate", not_after(der), dt.datetime.now(dt.UTC))
    if verified or finding.hint:
        return finding
    return report.warn(f"{finding.message}, not verified", "set postgres.sslrootcert, which makes sslmode verify-full")

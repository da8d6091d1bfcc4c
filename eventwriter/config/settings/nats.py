"""Section `nats`: the servers, the login, TLS and timeouts."""

import re
from typing import Annotated, NamedTuple
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, SecretStr

from eventwriter.config.address import PORT_MAX
from eventwriter.config.settings.fields import Record, Seconds, SecretPath, read_secret


class NatsTls(Record):
    """TLS to NATS. The server's certificate is always verified."""

    ca_file: str | None = None
    """PEM file with the trusted certificate authorities. Default: the system's authorities."""
    cert_file: str | None = None
    """PEM file with the client certificate, for mutual TLS. Default: none, because most servers use another login."""
    key_file: SecretPath | None = None
    """PEM file with the key of `cert_file`. Default: the key is read from `cert_file`."""
    server_name: str | None = None
    """Name that the server's certificate must carry. Default: the host name in the server's URL."""
    handshake_first: bool = False
    """Start TLS before the server sends its INFO line. Must equal the server's own `handshake_first`, whose default is
    also false; otherwise no connection can be established."""


def _servers(value: object) -> object:
    """Read a list of servers: a list, or one text that separates them by commas."""
    urls = value.split(",") if isinstance(value, str) else value
    if not isinstance(urls, list | tuple):
        return urls
    return tuple(_server(url, position) if isinstance(url, str) else url for position, url in enumerate(urls, 1))


_URL = re.compile(
    r"(nats|tls|ws|wss)://"
    r"(?:((?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::((?:[\w.~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*))?@)?"
    r"([\w.-]+|\[[0-9A-Fa-f:.]+(?:%\w+)?\])"
    r"(?::([0-9]{1,5}))?/?"
)
"""Scheme, user, password, host and port. Other characters of user and password must be percent-encoded (RFC 3986)."""


class UrlLogin(NamedTuple):
    """Login from a server's URL, decoded; a user without a password is a token."""

    user: str
    password: str | None


def _server(text: str, position: int) -> str:
    url = text.strip()
    full = url if "://" in url else f"nats://{url}"
    parts = _URL.fullmatch(full)
    # The messages do not quote the URL: it may contain a password, and an invalid one cannot be redacted.
    if parts is None:
        raise ValueError(
            f"not valid: server {position} is not a URL like nats://host:4222 or tls://host:4222; special characters in"
            " user and password must be percent-encoded"
        )
    if parts[5] and not 1 <= int(parts[5]) <= PORT_MAX:
        raise ValueError(f"not valid: the port of server {position} must be from 1 to {PORT_MAX}")
    return full


class NatsSettings(Record):
    """Connection to NATS JetStream. At most one login method may be set."""

    servers: Annotated[tuple[str, ...], BeforeValidator(_servers), Field(min_length=1)] = ("nats://localhost:4222",)
    """URLs of servers of one cluster, as a list or as one text with commas. One reachable server is enough: it reports
    the others. Either all URLs begin with tls:// or none does. A login in a URL must be percent-encoded, and equal in
    all URLs; prefer the keys below."""
    domain: str | None = None
    """JetStream domain of the streams, if it is not the account's own. Default: the account's own domain."""
    creds_file: SecretPath | None = None
    """A .creds file (JWT and nkey seed). It is read at every connect, so a rotated file takes effect at the next
    reconnect."""
    nkey_seed_file: SecretPath | None = None
    """File with the seed of an nkey."""
    user: str | None = None
    """User name, together with `password` or `password_file`."""
    password: SecretStr | None = None
    """Password of `user`. Prefer `password_file`: it can be rotated, and `systemctl show` does not print it."""
    password_file: SecretPath | None = None
    """File with the password; takes precedence over `password`. It is read at every connect, so a rotated password
    takes effect at the next reconnect."""
    token: SecretStr | None = None
    """Token, for servers that require only a token."""
    token_file: SecretPath | None = None
    """File with the token; takes precedence over `token`. It is read at every connect."""
    tls: NatsTls | None = None
    """TLS. If the section is absent, connections are unencrypted, except to servers whose URL begins with tls://; these
    are verified against the system's authorities."""
    connect_timeout_s: Seconds = Field(10.0, alias="connect_timeout")
    """Time limit of one connection attempt. Default 10 s. Too low: a distant server is never reached. Too high: one
    unreachable server delays the attempt at the next one."""
    ping_interval_s: Seconds = Field(10.0, alias="ping_interval")
    """Interval of pings. Default 10 s. A server that hangs without closing the connection is detected after two to
    three intervals."""
    reconnect_wait_s: Seconds = Field(0.5, alias="reconnect_wait")
    """Pause between two attempts at the same server. Default 0.5 s. Too low: a restarting server is flooded with
    attempts. Too high: the reconnect comes late."""
    inbox_prefix: str | None = None
    """Prefix of reply subjects, for accounts that may subscribe only to their own inboxes. Default: `_INBOX`."""

    def url_logins(self) -> set[UrlLogin]:
        """Return the different logins in the servers' URLs."""
        logins = [parts for url in self.servers if (parts := _URL.fullmatch(url)) and parts[2]]
        return {UrlLogin(unquote(p[2]), None if p[3] is None else unquote(p[3])) for p in logins}

    def read_password(self) -> str | None:
        """
        Return the password; the file takes precedence.

        Raises:
            Fatal: The file cannot be read, or is empty.
        """
        if self.password_file:
            return read_secret(self.password_file, "nats.password_file")
        return self.password.get_secret_value() if self.password else None

    def read_token(self) -> str | None:
        """
        Return the token; the file takes precedence.

        Raises:
            Fatal: The file cannot be read, or is empty.
        """
        if self.token_file:
            return read_secret(self.token_file, "nats.token_file")
        return self.token.get_secret_value() if self.token else None

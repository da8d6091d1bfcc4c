"""Section `postgres`: the server, the login, TLS and timeouts, under libpq's names."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from eventwriter.config import libpq
from eventwriter.config.address import PORT_MAX
from eventwriter.config.settings.fields import Record, Seconds, SecretPath, read_secret

PORTS = r"^\d{1,5}(,\d{1,5})*$"
CONNECT_TIMEOUT_S_MIN = 2  # libpq rounds a shorter timeout up to this
KEEPALIVES = 3
"""Unanswered keepalives after which a connection is closed."""


def _parseable(secret: SecretStr) -> SecretStr:
    libpq.parse(secret.get_secret_value())
    return secret


def _ports(text: str) -> str:
    if not all(libpq.is_port(port) for port in text.split(",")):
        raise ValueError(f"not valid; ports range from 1 to {PORT_MAX}")
    return text


def _plain_name(text: str) -> str:
    if libpq.is_conninfo(text):
        raise ValueError("a connection string, not a name; set it as postgres.dsn")
    return text


PlainName = Annotated[str, AfterValidator(_plain_name)]
"""Host or database; a connection string, which may contain a password, is refused."""


class PostgresSettings(Record):
    """Connection to PostgreSQL. The keys have libpq's names and meanings."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    dsn: Annotated[SecretStr, AfterValidator(_parseable)] | None = None
    """A libpq connection string or URL. The other keys override its parameters. It is never shown, because it may
    contain a password."""
    host: PlainName | None = None
    """A host, several hosts separated by commas (tried in order), or the directory of a Unix socket. Default: libpq's,
    which is $PGHOST or the local socket."""
    port: Annotated[str, Field(pattern=PORTS), AfterValidator(_ports)] | None = None
    """A port, or one port for each host, separated by commas. Default: libpq's, which is $PGPORT or 5432."""
    database: PlainName | None = None
    """Name of the database. Default: libpq's, which is $PGDATABASE or the user's name."""
    user: str | None = None
    """Role to log in as. Default: libpq's, which is $PGUSER or the name of the operating system's user."""
    password: SecretStr | None = None
    """Password of `user`. Prefer `password_file`: it can be rotated, and `systemctl show` does not print it."""
    password_file: SecretPath | None = None
    """File with the password; takes precedence over `password`. It is read at every connect, so a rotated password
    takes effect at the next reconnect."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    """libpq's TLS mode. Default: `verify-full` if `sslrootcert` or `sslcert` is set, otherwise libpq's `prefer`, which
    verifies nothing. Together with those files, only `verify-full` and `verify-ca` are accepted; `verify-ca` does not
    check the host name."""
    sslrootcert: str | None = None
    """PEM file with the trusted certificate authorities. Default: libpq's, which is ~/.postgresql/root.crt."""
    sslcert: str | None = None
    """PEM file with the client certificate, for servers that require one."""
    sslkey: SecretPath | None = None
    """PEM file with the key of `sslcert`. libpq requires that other users cannot read it (mode 0600)."""
    target_session_attrs: Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] | None = (
        None
    )
    """Which of several hosts to accept; `read-write` selects the primary. Default: libpq's, which is `any`."""
    application_name: str = "eventwriter"
    """Name that pg_stat_activity shows."""
    connect_timeout_s: Seconds = Field(10.0, alias="connect_timeout")
    """Time limit of one connection attempt, for each host. Default 10 s. libpq uses whole seconds and at least 2."""
    statement_timeout_s: Seconds = Field(30.0, alias="statement_timeout")
    """Time limit of each COPY. Default 30 s. Too low: large batches are split repeatedly. Too high: a server that hangs
    is detected late."""
    idle_in_transaction_timeout_s: Seconds = Field(30.0, alias="idle_in_transaction_timeout", ge=1)
    """Time after which the server ends a transaction whose client sends nothing. Default 30 s. If a host vanishes
    within a transaction, its lock on the ledger blocks the other workers of the consumer for this long. Too low: a
    worker that is suspended for a moment loses its transaction and repeats the batch. Too high: the others wait."""
    tcp_timeout_s: Seconds = Field(30.0, alias="tcp_timeout", ge=3)
    """Time after which a TCP connection whose other end does not respond is closed, by keepalives on both sides and
    TCP_USER_TIMEOUT. Default 30 s; the defaults of operating systems are about 2 hours. Too low: a short failure of the
    network ends connections. Too high: a vanished server or client is noticed late. Not used for Unix sockets."""
    runtime_params: dict[str, str] = Field(default_factory=dict)
    """PostgreSQL parameters that are set in every transaction, for example `search_path`. Default: none."""

    def conninfo(self) -> str:
        """
        Return libpq's connection string, with the password read from its file.

        Source: PostgreSQL documentation, "Connection Strings".

        Raises:
            Fatal: The password file cannot be read, or is empty.
        """
        connect_timeout_s = max(CONNECT_TIMEOUT_S_MIN, round(self.connect_timeout_s))
        ours: dict[str, dict[str, str | int]] = {
            "application_name": {"application_name": self.application_name},
            "connect_timeout_s": {"connect_timeout": connect_timeout_s},
            "tcp_timeout_s": {**self.keepalives(), "tcp_user_timeout": round(self._user_timeout_s() * 1000)},
        }
        # Our defaults rank below the DSN; keys that the configuration sets rank above it.
        below = {name: str(value) for parameters in ours.values() for name, value in parameters.items()}
        below |= {"sslmode": "verify-full"} if self.certificate_parameter() else {}
        above = {name: below[name] for field in ours if field in self.model_fields_set for name in ours[field]}
        password = self._read_password()
        secret = {"password": password} if password is not None else {}
        return libpq.combine(below, self._dsn(), {**above, **self._parameters(), **secret})

    def keepalives(self) -> dict[str, int]:
        """Return the TCP keepalive parameters, under libpq's names, that make up `tcp_timeout`."""
        interval_s = max(1, round(self.tcp_timeout_s / (KEEPALIVES + 3)))
        idle_s = max(1, round(self.tcp_timeout_s) - KEEPALIVES * interval_s)
        return {"keepalives_idle": idle_s, "keepalives_interval": interval_s, "keepalives_count": KEEPALIVES}

    def _user_timeout_s(self) -> float:
        """
        Return the client's TCP_USER_TIMEOUT.

        It also applies while the server does not read because a COPY waits, which `statement_timeout` limits.
        """
        return self.statement_timeout_s + self.tcp_timeout_s

    def certificate_parameter(self) -> str | None:
        """Return the parameter that sets a certificate, in the DSN or beside it: `sslrootcert`, else `sslcert`."""
        parameters = self.parameters()
        return next((name for name in ("sslrootcert", "sslcert") if parameters.get(name)), None)

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the DSN, its secrets included, overridden by the keys set beside it."""
        return {**libpq.parse(self._dsn()), **self._parameters()}

    def target(self) -> str:
        """Return hosts, ports, database and user for people; never a secret."""
        try:
            return libpq.target(self.parameters())
        except ValueError:
            return "postgres.dsn"

    def _dsn(self) -> str:
        return self.dsn.get_secret_value() if self.dsn else ""

    def _read_password(self) -> str | None:
        if self.password_file:
            return read_secret(self.password_file, "postgres.password_file")
        return self.password.get_secret_value() if self.password else None

    def _parameters(self) -> dict[str, str]:
        """Return the keys set beside the DSN, under libpq's names, without the password."""
        parameters = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "sslcert": self.sslcert,
            "sslkey": self.sslkey,
            "target_session_attrs": self.target_session_attrs,
        }
        return {name: value for name, value in parameters.items() if value is not None}

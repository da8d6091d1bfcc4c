"""Maps errors of nats-py, of the socket and of TLS to the error families, with a code and a hint. Pure."""

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import nats.errors

from eventwriter.errors import Fatal, Retryable

_DENIED = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]*)\"", re.IGNORECASE)
_LOGIN_ERRORS = ("authorization violation", "authentication expired", "authentication revoked", "authorization failed")
_OPENSSL_LOCATION = re.compile(r"\s*\(_ssl\.c:\d+\)")


class HandshakeRefused(nats.errors.Error):
    """
    This side refuses to complete nats-py's handshake: a file cannot be used, or TLS is not as configured.

    A subclass of nats-py's error, so that its reconnect loop reports the error and continues; any other exception would
    end that loop without a report.

    Args:
        hint: What the operator should do.
    """

    def __init__(self, message: str, code: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


class ConnectTimeout(TimeoutError):
    """
    A connection attempt had no result within its time limit.

    Args:
        hint: What the operator should check, if there is a likely cause.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class DeniedPermission:
    """Permission that the server denied: `publish` or `subscription`, and the subject in nats-py's lower case."""

    verb: str
    subject: str


def denied_permission(error: BaseException) -> DeniedPermission | None:
    """
    Return the permission that an error denies, or None for any other error.

    Source: NATS client protocol, "-ERR".
    """
    match = _DENIED.search(str(error))
    return DeniedPermission(match[1].lower(), match[2]) if match else None


def permission_error(permission: DeniedPermission, subject: str) -> Fatal:
    """
    Return the error for a denied permission.

    Args:
        subject: The subject in its original spelling.
    """
    if permission.verb == "subscription":
        return Fatal(
            f"NATS denies the subscription to {subject}",
            code="nats_permission_denied",
            hint="grant the NATS user `subscribe` on that subject and on its other inboxes, or set nats.inbox_prefix"
            " to a prefix that is granted",
        )
    return Fatal(
        f"NATS denies publishing to {subject}",
        code="nats_permission_denied",
        hint="grant the NATS user `publish` on that subject",
    )


def is_disconnect(error: BaseException) -> bool:
    """
    Return whether an error only says that the connection ended.

    A refused login is followed by a disconnect, and the disconnect may be seen first.
    """
    return isinstance(error, ConnectionError | nats.errors.StaleConnectionError) and not isinstance(
        error, ConnectionRefusedError
    )


def root_cause(errors: Sequence[BaseException]) -> BaseException | None:
    """Return the cause among the errors of one attempt, oldest first: the first that is more than a disconnect."""
    causes = [error for error in errors if not is_disconnect(error)]
    return next(iter([*causes, *errors]), None)


def without_credentials(servers: Sequence[str]) -> str:
    """Return a list of server addresses for display, without user, password and token."""
    return ", ".join(
        f"{scheme}{separator}{rest.rsplit('@', 1)[-1]}"
        for scheme, separator, rest in (s.partition("://") if "://" in s else ("", "", s) for s in servers)
    )


def connection_error(error: BaseException, servers: tuple[str, ...]) -> Retryable | Fatal:
    """Map an exception of nats-py, of the socket or of TLS to an error family."""
    where = without_credentials(servers)
    text = str(error).strip().removeprefix("nats: ").strip("'\"") or type(error).__name__
    if isinstance(error, nats.errors.AuthorizationError) or any(words in text.lower() for words in _LOGIN_ERRORS):
        reason = "" if "violation" in text.lower() else f": {text}"
        return Fatal(
            f"NATS at {where} refused the login{reason}",
            code="nats_login_refused",
            hint="check nats.user and nats.password, nats.token, nats.creds_file or nats.nkey_seed_file",
        )
    if isinstance(error, HandshakeRefused):
        return Fatal(f"NATS at {where}: {text}", code=error.code, hint=error.hint)
    if isinstance(error, ssl.SSLError):
        message = f"TLS to NATS at {where} failed: {_OPENSSL_LOCATION.sub('', text)}"
        return Fatal(message, code="nats_tls_failed", hint=_tls_hint(error))
    hint = error.hint if isinstance(error, ConnectTimeout) else None
    if "empty response" in text:
        text = "the server closed the connection before its greeting"
        hint = "if the server expects TLS before the greeting, set nats.tls.handshake_first"
    return Retryable(f"NATS at {where} is unreachable: {text}", code="nats_unreachable", hint=hint)


def _tls_hint(error: ssl.SSLError) -> str:
    if "WRONG_VERSION_NUMBER" in str(error):
        return "check nats.tls.handshake_first, which must match the server's setting"
    if "ALERT" in str(error).upper():
        return "check nats.tls.cert_file and nats.tls.key_file: the server rejected the client certificate"
    return "check nats.tls.ca_file and nats.tls.server_name"


def merge(errors: Sequence[Retryable | Fatal]) -> Retryable | Fatal:
    """
    Return one error for the failures of all servers.

    Errors that only an operator can fix come first and decide family, code and hint.
    """
    ordered = sorted(errors, key=lambda error: isinstance(error, Retryable))
    first = ordered[0]
    others = [error for error in ordered[1:] if str(error) != str(first)]
    message = "; ".join(dict.fromkeys([first.message, *map(str, others)]))
    return type(first)(message, code=first.code, hint=first.hint)

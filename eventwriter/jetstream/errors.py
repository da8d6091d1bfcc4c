"""What NATS's refusals mean: exceptions and protocol errors → a sentence and a family. Pure."""

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import nats.errors

from eventwriter.errors import Fatal, Retryable

_DENIED = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]*)\"", re.IGNORECASE)
_LOGIN_SIGNS = ("authorization violation", "authentication expired", "authentication revoked", "authorization failed")
_OPENSSL_PLACE = re.compile(r"\s*\(_ssl\.c:\d+\)")


class Refused(nats.errors.Error):
    """
    Our own no, said in the middle of nats-py's handshake: a file cannot be used, or TLS is not what we insist on.

    One of nats-py's errors, so that its reconnect loop reports it and goes on; any other would end that loop unseen.
    """


@dataclass(frozen=True, slots=True)
class Denied:
    """A permission that we lack: `publish` or `subscription`, and the subject, lower-cased by nats-py."""

    verb: str
    subject: str


def denied(error: BaseException) -> Denied | None:
    """
    Read the server's permissions violation; None where it is another error.

    Source: NATS client protocol, "-ERR".
    """
    found = _DENIED.search(str(error))
    return Denied(found[1].lower(), found[2]) if found else None


def denial(what: Denied, subject: str) -> str:
    """Return the sentence for a missing permission; `subject` is it as it is really spelled."""
    if what.verb == "subscription":
        return (
            f"NATS denies the subscription to {subject}: grant our user `subscribe` on it and on our other inboxes,"
            " or set nats.inbox_prefix to one that is granted"
        )
    return f"NATS denies publishing to {subject}: grant our user `publish` on it"


def is_cut(error: BaseException) -> bool:
    """Say whether that is but a connection's end: after a refusal its consequence, and not always the later one."""
    return isinstance(error, ConnectionError | nats.errors.StaleConnectionError) and not isinstance(
        error, ConnectionRefusedError
    )


def decisive(causes: Sequence[BaseException]) -> BaseException | None:
    """Return which of one server's causes, oldest first, is the reason: a refusal wins over the cut that follows."""
    telling = [cause for cause in causes if not is_cut(cause)]
    return next(iter([*telling, *causes]), None)


def shown(servers: tuple[str, ...]) -> str:
    """Return the server list for people: without user, password or token in the URLs."""
    return ", ".join(
        f"{scheme}{sep}{rest.rsplit('@', 1)[-1]}"
        for scheme, sep, rest in (s.partition("://") if "://" in s else ("", "", s) for s in servers)
    )


def sentence(error: BaseException, servers: tuple[str, ...]) -> Retryable | Fatal:
    """Map one of nats-py's (or the socket's) exceptions to a sentence and a family."""
    where = shown(servers)
    text = str(error).strip().removeprefix("nats: ").strip("'\"") or type(error).__name__
    if isinstance(error, nats.errors.AuthorizationError) or any(sign in text.lower() for sign in _LOGIN_SIGNS):
        return Fatal(
            f"NATS at {where} refused the login: check nats.user/password, token, creds_file or nkey_seed_file"
            + ("" if "violation" in text.lower() else f" ({text})")
        )
    if isinstance(error, Refused):
        return Fatal(f"NATS at {where}: {text}")
    if isinstance(error, ssl.SSLError):
        return Fatal(f"TLS to NATS at {where} failed: {_OPENSSL_PLACE.sub('', text)}; check {_tls_keys(error)}")
    if "empty response" in text:
        text = "it closed the connection before its greeting (one that begins with TLS needs nats.tls.handshake_first)"
    return Retryable(f"cannot reach NATS at {where}: {text}")


def _tls_keys(error: ssl.SSLError) -> str:
    if "WRONG_VERSION_NUMBER" in str(error):
        return "nats.tls.handshake_first, which must be what the server has"
    if "ALERT" in str(error).upper():
        return "nats.tls.cert_file and key_file: the server refused our side"
    return "nats.tls.ca_file and server_name"


def together(refusals: list[Retryable | Fatal]) -> Retryable | Fatal:
    """Return what all servers said as one: what an operator must mend comes first, and decides."""
    said = sorted(refusals, key=lambda refusal: isinstance(refusal, Retryable))
    text = "; ".join(dict.fromkeys(str(refusal) for refusal in said))
    return Fatal(text) if isinstance(said[0], Fatal) else Retryable(text)

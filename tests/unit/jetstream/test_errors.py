"""How errors of nats-py, of the socket and of TLS are mapped."""

import ssl

import nats.errors
import pytest

from eventwriter.errors import EventwriterError, Fatal, Retryable
from eventwriter.jetstream.errors import (
    ConnectTimeout,
    DeniedPermission,
    HandshakeRefused,
    connection_error,
    denied_permission,
    merge,
    permission_error,
    root_cause,
    without_credentials,
)

SERVERS = ("nats://u:s3cret@localhost:4222",)
RESET = ConnectionResetError(104, "reset")
REFUSAL = nats.errors.AuthorizationError()


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([], None),
        ([RESET], RESET),
        ([REFUSAL, RESET], REFUSAL),
        ([RESET, REFUSAL], REFUSAL),
        ([nats.errors.UnexpectedEOF(), RESET], None),
    ],
    ids=["no error", "disconnect", "refusal before disconnect", "refusal after disconnect", "two disconnects"],
)
def test_root_cause_is_more_than_disconnect(errors: list[BaseException], expected: BaseException | None) -> None:
    """The cause of a failed attempt is the first error that is more than a disconnect, else the first disconnect."""
    assert (expected or (errors[0] if errors else None)) is root_cause(errors)


@pytest.mark.parametrize(
    ("error", "family", "code", "hint"),
    [
        (REFUSAL, Fatal, "nats_login_refused", "nats.password"),
        (nats.errors.Error("nats: 'Authorization Violation'"), Fatal, "nats_login_refused", "nats.password"),
        (nats.errors.Error("nats: 'User Authentication Expired'"), Fatal, "nats_login_refused", "nats.creds_file"),
        (HandshakeRefused("the server offers no TLS", "nats_tls_missing", "set it up"), Fatal, "nats_tls_missing", ""),
        (ssl.SSLError(1, "[SSL: X] certificate verify failed (_ssl.c:1006)"), Fatal, "nats_tls_failed", "ca_file"),
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] x"), Fatal, "nats_tls_failed", "nats.tls.key_file"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x"), Fatal, "nats_tls_failed", "nats.tls.handshake_first"),
        (ConnectionRefusedError(111, "Connection refused"), Retryable, "nats_unreachable", ""),
        (nats.errors.Error("nats: 'Maximum Connections Exceeded'"), Retryable, "nats_unreachable", ""),
        (nats.errors.Error("nats: empty response from server"), Retryable, "nats_unreachable", "handshake_first"),
        (ConnectTimeout("no answer within 5 s", "check x"), Retryable, "nats_unreachable", "check x"),
        (TimeoutError(), Retryable, "nats_unreachable", ""),
    ],
)
def test_connection_error_has_family_code_and_hint(
    error: BaseException, family: type[EventwriterError], code: str, hint: str
) -> None:
    """Each error names the server without credentials, and has a family, a code and a hint."""
    mapped = connection_error(error, SERVERS)

    assert (family, code) == (type(mapped), mapped.code)
    assert hint in (mapped.hint or "")
    assert ("nats://localhost:4222" in mapped.message, "s3cret" in str(mapped)) == (True, False)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (("nats://u:p@a:1", "tls://token@b:2"), "nats://a:1, tls://b:2"),
        (("u:p@a:1", "b:2", "c"), "a:1, b:2, c"),
    ],
)
def test_server_addresses_are_shown_without_credentials(servers: tuple[str, ...], expected: str) -> None:
    """User, password and token are removed from addresses with and without a scheme."""
    assert expected == without_credentials(servers)


def test_denied_permission_is_read_from_error() -> None:
    """A permissions violation gives the verb and the subject; other errors give nothing."""
    error = nats.errors.Error('nats: permissions violation for publish to "$js.api.stream.info.x"')

    assert DeniedPermission("publish", "$js.api.stream.info.x") == denied_permission(error)
    assert denied_permission(REFUSAL) is None


@pytest.mark.parametrize(("verb", "hint"), [("publish", "`publish`"), ("subscription", "nats.inbox_prefix")])
def test_permission_error_says_what_to_grant(verb: str, hint: str) -> None:
    """A denied permission is fatal, and the hint says what to grant."""
    error = permission_error(DeniedPermission(verb, "x"), "X")

    assert ("nats_permission_denied", True) == (error.code, hint in str(error.hint))


def test_merge_puts_fatal_error_first() -> None:
    """The fatal error of several servers comes first and decides family, code and hint; repeated errors appear once."""
    unreachable, refused = Retryable("a is unreachable", code="x"), Fatal("b refused", code="y", hint="z")

    merged = merge([unreachable, refused, unreachable])

    assert (Fatal, "y", "z", "b refused; a is unreachable") == (type(merged), merged.code, merged.hint, merged.message)
    assert Retryable is type(merge([unreachable]))

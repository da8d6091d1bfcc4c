"""What NATS's refusals are told as."""

import ssl

import nats.errors
import pytest

from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.errors import Denied, Refused, decisive, denial, denied, sentence, shown, together

SERVERS = ("nats://u:s3cret@localhost:4222",)
RESET = ConnectionResetError(104, "reset")
REFUSAL = nats.errors.AuthorizationError()


@pytest.mark.parametrize(
    ("causes", "expected"),
    [
        ([], None),
        ([RESET], RESET),
        ([REFUSAL, RESET], REFUSAL),
        ([RESET, REFUSAL], REFUSAL),
        ([nats.errors.UnexpectedEOF(), RESET], None),
    ],
    ids=["none", "only a cut", "before the cut", "after the cut", "cuts"],
)
def test_refusal_wins_over_its_consequences(causes: list[BaseException], expected: BaseException | None) -> None:
    """The reason for a failed attempt is what is more than a cut; among cuts it is the first."""
    assert (expected or (causes[0] if causes else None)) is decisive(causes)


@pytest.mark.parametrize(
    ("error", "family", "words"),
    [
        (REFUSAL, Fatal, "NATS at nats://localhost:4222 refused the login: check nats.user/password"),
        (nats.errors.Error("nats: 'Authorization Violation'"), Fatal, "refused the login"),
        (nats.errors.Error("nats: 'User Authentication Expired'"), Fatal, "(User Authentication Expired)"),
        (Refused("it offers no TLS"), Fatal, "NATS at nats://localhost:4222: it offers no TLS"),
        (ssl.SSLError(1, "[SSL: X] certificate verify failed (_ssl.c:1006)"), Fatal, "failed; check nats.tls.ca_file"),
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] x"), Fatal, "check nats.tls.cert_file and key_file"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x"), Fatal, "check nats.tls.handshake_first"),
        (ConnectionRefusedError(111, "Connection refused"), Retryable, "cannot reach NATS at nats://localhost:4222: "),
        (nats.errors.Error("nats: 'Maximum Connections Exceeded'"), Retryable, ": Maximum Connections Exceeded"),
        (nats.errors.Error("nats: empty response from server"), Retryable, "needs nats.tls.handshake_first"),
        (TimeoutError(), Retryable, "TimeoutError"),
    ],
)
def test_error_is_a_sentence_and_a_family(error: BaseException, family: type[Exception], words: str) -> None:
    """Each of nats-py's errors is a sentence with the server and no secret, and an outage or an operator's business."""
    said = sentence(error, SERVERS)

    assert family is type(said)
    assert words in str(said)
    assert "s3cret" not in str(said)


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (("nats://u:p@a:1", "tls://token@b:2"), "nats://a:1, tls://b:2"),
        (("u:p@a:1", "b:2", "c"), "a:1, b:2, c"),
    ],
)
def test_servers_are_shown_without_logins(servers: tuple[str, ...], expected: str) -> None:
    """User, password and token in an address are not shown, with a scheme and without."""
    assert expected == shown(servers)


def test_denied_permission_is_read_from_the_servers_words() -> None:
    """A permissions violation tells what was denied; other errors tell nothing."""
    error = nats.errors.Error('nats: permissions violation for publish to "$js.api.stream.info.x"')

    assert Denied("publish", "$js.api.stream.info.x") == denied(error)
    assert denied(REFUSAL) is None
    assert "grant our user `publish` on it" in denial(Denied("publish", "x"), "X")
    assert "nats.inbox_prefix" in denial(Denied("subscription", "x"), "X")


def test_what_an_operator_must_mend_decides_for_all_servers() -> None:
    """Of several servers' answers the one to be mended comes first and decides the family; none is said twice."""
    said = together([Retryable("a is away"), Fatal("b refused"), Retryable("a is away")])

    assert (Fatal, "b refused; a is away") == (type(said), str(said))
    assert Retryable is type(together([Retryable("a is away")]))

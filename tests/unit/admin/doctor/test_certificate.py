"""When certificates and JWTs end."""

import base64
import datetime as dt
import json
from pathlib import Path

import pytest
from fix_nats import Certificates

from eventwriter.admin.doctor.certificate import expiries_in_pem, jwt_expiry, not_after
from eventwriter.admin.doctor.files import certificate, expiry
from eventwriter.admin.doctor.findings import Reporter

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
VOICE = Reporter("files", "certificates")


@pytest.mark.parametrize("days", [-3, 3, 10_000])
def test_end_is_read_from_the_file(certificates: Certificates, days: int) -> None:
    """The end of a certificate is what was written into it, before and after 2050 (two forms of time)."""
    path, _ = certificates.issue("localhost", days=days)

    with open(path, "rb") as file:
        (end,) = expiries_in_pem(file.read())

    left = end - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=days, minutes=-2) < left < dt.timedelta(days=days, minutes=2)


def test_every_certificate_of_a_file_is_read(certificates: Certificates) -> None:
    """A file with several certificates has several ends, in their order."""
    one, _ = certificates.issue("a.example", days=5)
    two, _ = certificates.issue("b.example", days=50)

    ends = expiries_in_pem(Path(one).read_bytes() + Path(two).read_bytes())

    assert 45 == round((ends[1] - ends[0]) / dt.timedelta(days=1))


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x82\xff\xff", b"\x30\x03\x30\x01\x02", bytes(64)])
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    """Anything else raises ValueError, never an error of reading beyond the end."""
    with pytest.raises(ValueError, match="not a valid certificate"):
        not_after(der)


def test_every_cut_of_a_certificate_is_refused(certificates: Certificates) -> None:
    """A certificate that was cut anywhere within what is read is refused."""
    path, _ = certificates.issue("localhost", days=5)
    body = Path(path).read_text().split("-----")[2]
    der = base64.b64decode(body)

    for end in range(0, len(der), 7):
        with pytest.raises(ValueError, match="not a valid certificate"):
            not_after(der[:end])


def test_file_of_authorities_lives_as_long_as_its_longest(certificates: Certificates) -> None:
    """Of several authorities one that lives is enough; of a certificate and its chain each must."""
    one, _ = certificates.issue("a.example", days=-5)
    two, _ = certificates.issue("b.example", days=500)
    both = certificates.folder / "both.pem"
    both.write_bytes(Path(one).read_bytes() + Path(two).read_bytes())
    now = dt.datetime.now(dt.UTC)

    assert "ok" == str(certificate(VOICE, "k", str(both), True, now).status)
    assert "fail" == str(certificate(VOICE, "k", str(both), False, now).status)


@pytest.mark.parametrize(
    ("days", "expected"), [(-1, "fail"), (0, "fail"), (1, "warn"), (29.9, "warn"), (30, "ok"), (400, "ok")]
)
def test_last_month_is_warned_of(days: float, expected: str) -> None:
    """An end that is past fails, one within 30 days is a warning."""
    assert expected == str(expiry(VOICE, "it", NOW + dt.timedelta(days=days), NOW).status)


def jwt(claims: object) -> str:
    """Return an unsigned JWT."""
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


def test_jwt_says_when_it_ends() -> None:
    """A user's JWT ends at `exp`, or never."""
    assert dt.datetime(2026, 1, 1, tzinfo=dt.UTC) == jwt_expiry(jwt({"exp": 1_767_225_600}))
    assert jwt_expiry(jwt({"name": "U"})) is None


@pytest.mark.parametrize("text", ["", "a.b", "a.!!.c", jwt([1]), "a.e30x.c"])
def test_what_is_no_jwt_is_refused(text: str) -> None:
    """Anything else raises ValueError."""
    with pytest.raises(ValueError, match="not a JWT"):
        jwt_expiry(text)

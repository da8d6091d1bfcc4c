"""
When certificates and user JWTs end; pure, from the bytes of their files.

Source: RFC 5280, section 4.1 (Certificate), X.690 (DER); RFC 7519, section 4.1.4 (`exp`).
"""

import base64
import binascii
import datetime as dt
import json
import re
from dataclasses import dataclass

WARN_DAYS = 30

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


@dataclass(frozen=True, slots=True)
class _Field:
    """One tag-length-value: its tag, its content, and what follows it."""

    tag: int
    content: bytes
    rest: bytes


def _field(data: bytes) -> _Field:
    if len(data) < 2:
        raise ValueError("it ends too early")
    tag, length, at = data[0], data[1], 2
    if length & 0x80:
        count = length & 0x7F
        length, at = int.from_bytes(data[2 : 2 + count]), 2 + count
    if len(data) < at + length:
        raise ValueError("it ends too early")
    return _Field(tag, data[at : at + length], data[at + length :])


def not_after(der: bytes) -> dt.datetime:
    """
    Return when a certificate ends.

    Raises:
        ValueError: It is no certificate.
    """
    field = _field(_field(_field(der).content).content)
    if field.tag == _VERSION:
        field = _field(field.rest)
    # Now at the serial number; signature algorithm and issuer follow, then the validity.
    for _ in range(3):
        field = _field(field.rest)
    if field.tag != _SEQUENCE:
        raise ValueError("it is no certificate")
    end = _field(_field(field.content).rest)
    forms = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
    if end.tag not in forms:
        raise ValueError("it is no certificate")
    # Two digits of a year mean 1950 to 2049 here, 1969 to 2068 to Python: the same for certificates in use.
    return dt.datetime.strptime(end.content.decode("ascii"), forms[end.tag]).replace(tzinfo=dt.UTC)


def in_pem(text: bytes) -> list[dt.datetime]:
    """
    Return when each certificate in a PEM file ends.

    Raises:
        ValueError: One of them is none.
    """
    try:
        return [not_after(base64.b64decode(block)) for block in _PEM.findall(text)]
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("it is no certificate") from error


def jwt_end(jwt: str) -> dt.datetime | None:
    """
    Return when a JWT ends, None where it does not.

    Raises:
        ValueError: It is no JWT.
    """
    parts = jwt.split(".")
    if len(parts) != 3:
        raise ValueError("it is no JWT")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        end = claims.get("exp")
    except (binascii.Error, ValueError, AttributeError) as error:
        raise ValueError("it is no JWT") from error
    return dt.datetime.fromtimestamp(end, dt.UTC) if end else None


def days_left(end: dt.datetime, now: dt.datetime) -> float:
    """Return how many days are left; negative where none is."""
    return (end - now) / dt.timedelta(days=1)

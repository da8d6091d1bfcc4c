"""
Expiry of certificates and user JWTs, from the bytes of their files. Pure.

Source: RFC 5280, section 4.1.2.5 (validity); RFC 7519, section 4.1.4 (`exp`).
"""

import base64
import binascii
import datetime as dt
import json

from cryptography import x509

WARN_DAYS = 30


def not_after(der: bytes) -> dt.datetime:
    """
    Return when a DER-encoded certificate expires.

    Raises:
        ValueError: The bytes are not a certificate.
    """
    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc
    except ValueError as error:
        raise ValueError("not a valid certificate") from error


def expiries_in_pem(text: bytes) -> list[dt.datetime]:
    """
    Return when each certificate of a PEM file expires; an empty list without certificates.

    Raises:
        ValueError: A certificate cannot be parsed.
    """
    if b"-----BEGIN CERTIFICATE-----" not in text:
        return []
    try:
        return [certificate.not_valid_after_utc for certificate in x509.load_pem_x509_certificates(text)]
    except ValueError as error:
        raise ValueError("not a valid certificate") from error


def jwt_expiry(jwt: str) -> dt.datetime | None:
    """
    Return when a JWT expires; None if it does not.

    Raises:
        ValueError: The text is not a JWT.
    """
    parts = jwt.split(".")
    if len(parts) != 3:
        raise ValueError("not a JWT")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        end = claims.get("exp")
    except (binascii.Error, ValueError, AttributeError) as error:
        raise ValueError("not a JWT") from error
    return dt.datetime.fromtimestamp(end, dt.UTC) if end else None


def days_left(end: dt.datetime, now: dt.datetime) -> float:
    """Return the number of days until `end`, negative if it has passed."""
    return (end - now) / dt.timedelta(days=1)

"""
Options for nats-py's login and TLS, made from the settings and the files that they name.

Files are read here instead of by nats-py, because it loops forever over a creds file without a JWT, and an unexpected
exception in a callback ends its reconnect loop without a report.
"""

import base64
import binascii
import re
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import nkeys

from eventwriter.config.settings import NatsSettings, NatsTls
from eventwriter.errors import Fatal
from eventwriter.jetstream.errors import HandshakeRefused

T = TypeVar("T")

_SECTION = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+(\S+)\s+-{3,}END \1-{3,}")


def _unusable(key: str, path: str, reason: str, hint: str) -> Fatal:
    return Fatal(f"{key}: {path}: {reason}", code="nats_file_unusable", hint=hint)


def _read(key: str, path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise _unusable(key, path, reason, "check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise _unusable(key, path, "is not a text file", "check the path") from error


def _key_pair(key: str, path: str, seed: str) -> "nkeys.KeyPair":
    try:
        pair = nkeys.from_seed(bytearray(seed.encode()))
        _ = pair.public_key
    except (nkeys.NkeysError, binascii.Error, ValueError) as error:
        raise _unusable(key, path, "contains no nkey seed of a user (SU…)", "write one to the file") from error
    return pair


def read_creds(path: str) -> tuple[str, "nkeys.KeyPair"]:
    """
    Read a .creds file: the user's JWT and the key that signs for it.

    Raises:
        Fatal: The file cannot be read, or is not a .creds file.

    Source: NATS documentation, "JWT Authentication", credentials files.
    """
    sections = dict(_SECTION.findall(_read("nats.creds_file", path)))
    jwt, seed = sections.get("NATS USER JWT"), sections.get("USER NKEY SEED")
    if jwt is None or seed is None:
        reason = "lacks the section NATS USER JWT or USER NKEY SEED"
        raise _unusable("nats.creds_file", path, reason, "generate it again, for example with nsc generate creds")
    return jwt, _key_pair("nats.creds_file", path, seed)


def read_seed(path: str) -> str:
    """Return an nkey seed from its file. Raises Fatal if the file cannot be read or contains no seed."""
    seed = _read("nats.nkey_seed_file", path).strip()
    _key_pair("nats.nkey_seed_file", path, seed)
    return seed


def tls_context(tls: NatsTls) -> ssl.SSLContext:
    """
    Return the TLS context; it always verifies the server's certificate.

    Raises:
        Fatal: A certificate file or the key file cannot be read or used.
    """
    for key, path in (("ca_file", tls.ca_file), ("cert_file", tls.cert_file), ("key_file", tls.key_file)):
        if path:
            _read(f"nats.tls.{key}", path)
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca_file)
    except OSError as error:
        reason = "contains no certificate in PEM format"
        raise _unusable("nats.tls.ca_file", str(tls.ca_file), reason, "write the CA's certificate to it") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert_file:
        try:
            # The empty password keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except OSError as error:
            reason = f"cannot be used with key_file {tls.key_file}: {getattr(error, 'reason', None) or error}"
            hint = "set both to PEM files with a certificate and its key, which must not be encrypted"
            raise _unusable("nats.tls.cert_file", tls.cert_file, reason, hint) from error
    return context


def tls_options(settings: NatsSettings) -> dict[str, Any]:
    """Return nats-py's options for TLS. Raises Fatal if a file cannot be used."""
    tls = settings.tls
    if tls is None:
        return {}
    options: dict[str, Any] = {"tls": tls_context(tls), "tls_handshake_first": tls.handshake_first}
    if tls.server_name:
        options["tls_hostname"] = tls.server_name
    return options


def login_options(settings: NatsSettings) -> dict[str, Any]:
    """
    Return nats-py's options for the login.

    Passwords, tokens and creds files are read again at every reconnect, so that a rotated file takes effect.

    Raises:
        Fatal: A file cannot be read or used now.
    """
    if settings.creds_file:
        path = settings.creds_file
        read_creds(path)
        return {
            # Not a type that nats-py reads: the value only says that there is a login, which the callbacks perform.
            "user_credentials": True,
            "user_jwt_cb": lambda: bytearray(_in_handshake(lambda: read_creds(path)[0]).encode()),
            "signature_cb": lambda nonce: base64.b64encode(
                _in_handshake(lambda: read_creds(path)[1]).sign(nonce.encode())
            ),
        }
    if settings.nkey_seed_file:
        return {"nkeys_seed_str": read_seed(settings.nkey_seed_file)}
    if settings.user:
        settings.read_password()
        return {"user": settings.user, "password": lambda: _in_handshake(settings.read_password) or ""}
    if settings.read_token() is not None:
        return {"token": lambda: _in_handshake(settings.read_token) or ""}
    for user, password in settings.url_logins():
        # nats-py sends a login within a URL without decoding it.
        return {"token": user} if password is None else {"user": user, "password": password}
    return {}


def _in_handshake(read: Callable[[], T]) -> T:
    """Read a secret during a handshake, where only nats-py's own errors are reported."""
    try:
        return read()
    except Fatal as error:
        raise HandshakeRefused(error.message, error.code, error.hint) from error

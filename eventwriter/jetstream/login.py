"""
Who we are to NATS: the options that nats-py needs, made of settings and their files.

Files are read here rather than by nats-py: it loops for ever over a creds file
without a JWT, and an error of the wrong class ends its reconnecting unseen.
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
from eventwriter.jetstream.errors import Refused

T = TypeVar("T")

_SECTION = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+(\S+)\s+-{3,}END \1-{3,}")


def _text(key: str, path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError as error:
        raise Fatal(f"{key}: {path}: cannot be read: {error.strerror}; check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise Fatal(f"{key}: {path}: is no text file; check the path") from error


def _key_pair(key: str, path: str, seed: str) -> "nkeys.KeyPair":
    try:
        pair = nkeys.from_seed(bytearray(seed.encode()))
        _ = pair.public_key
    except (nkeys.NkeysError, binascii.Error, ValueError) as error:
        raise Fatal(f"{key}: {path}: holds no nkey seed of a user (SU…); write one into it") from error
    return pair


def read_creds(path: str) -> tuple[str, "nkeys.KeyPair"]:
    """
    Read a .creds file: the user's JWT and the key that signs for it.

    Raises:
        Fatal: It cannot be read, or is not one.

    Source: NATS documentation, "JWT Authentication", credentials files.
    """
    sections = dict(_SECTION.findall(_text("nats.creds_file", path)))
    jwt, seed = sections.get("NATS USER JWT"), sections.get("USER NKEY SEED")
    if jwt is None or seed is None:
        raise Fatal(
            f"nats.creds_file: {path}: holds no NATS USER JWT and USER NKEY SEED;"
            " make it anew, for example with nsc generate creds"
        )
    return jwt, _key_pair("nats.creds_file", path, seed)


def read_seed(path: str) -> str:
    """Return an nkey seed from its file. Raises Fatal where it cannot be read, or is none."""
    seed = _text("nats.nkey_seed_file", path).strip()
    _key_pair("nats.nkey_seed_file", path, seed)
    return seed


def tls_context(tls: NatsTls) -> ssl.SSLContext:
    """
    Build the TLS context; the server's certificate is always verified.

    Raises:
        Fatal: A certificate or key file cannot be read or used.
    """
    for name in ("ca_file", "cert_file", "key_file"):
        if path := getattr(tls, name):
            _text(f"nats.tls.{name}", path)
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca_file)
    except OSError as error:
        raise Fatal(f"nats.tls.ca_file: {tls.ca_file}: holds no certificate in PEM format") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert_file:
        try:
            # A password is given so that OpenSSL does not ask for one at the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except OSError as error:
            raise Fatal(
                f"nats.tls.cert_file: {tls.cert_file} with key_file {tls.key_file}: cannot be used:"
                f" {getattr(error, 'reason', None) or error}; wanted are a certificate and its own key,"
                " both PEM, the key not encrypted"
            ) from error
    return context


def tls_options(settings: NatsSettings) -> dict[str, Any]:
    """Return nats-py's options for TLS. Raises Fatal where a file cannot be used."""
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

    Passwords, tokens and creds are read anew at every reconnect, so that a rotated file is picked up.

    Raises:
        Fatal: A file cannot be read or used now.
    """
    if settings.creds_file:
        path = settings.creds_file
        read_creds(path)
        return {
            # Of no type that nats-py reads: it only says that there is a login, and the callbacks are it.
            "user_credentials": True,
            "user_jwt_cb": lambda: bytearray(_again(lambda: read_creds(path)[0]).encode()),
            "signature_cb": lambda nonce: base64.b64encode(_again(lambda: read_creds(path)[1]).sign(nonce.encode())),
        }
    if settings.nkey_seed_file:
        return {"nkeys_seed_str": read_seed(settings.nkey_seed_file)}
    if settings.user:
        settings.read_password()
        return {"user": settings.user, "password": lambda: _again(settings.read_password) or ""}
    if settings.read_token() is not None:
        return {"token": lambda: _again(settings.read_token) or ""}
    return {}


def _again(read: Callable[[], T]) -> T:
    try:
        return read()
    except Fatal as error:
        raise Refused(str(error)) from error

"""
Who may read: a bearer token, or a cookie that the login page gives for it. Secrets are compared in constant time.

The cookie is signed with the token itself: it outlives a restart of the daemon, and
no change of the token. Without a token only this machine is listened to; then the
Host header is looked at, so that a page of somebody else's cannot have a browser
read us under another name (DNS rebinding).

Source: RFC 6750 (bearer tokens), RFC 6265 (cookies).
"""

import hashlib
import hmac
import logging
import os
from collections.abc import Mapping

from eventwriter.config.address import Address
from eventwriter.config.settings import HttpSettings
from eventwriter.errors import EventwriterError

TOKEN_CHARACTERS_MIN = 16  # what cannot be guessed at a thousand attempts a second
SESSION_S = 30 * 86400.0
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

log = logging.getLogger(__name__)


class CannotServe(EventwriterError):
    """The web child cannot serve as it is told to; the sentence says what to do. It tries again."""


def read_token(path: str) -> str:
    """
    Read the token.

    Raises:
        Unusable: The file cannot be read, or what is in it can be guessed.
    """
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServe(f"http.token_file: cannot read {path}: {error}; check the path and its permissions") from None
    if len(token) < TOKEN_CHARACTERS_MIN or not token.isascii() or not token.isprintable() or " " in token:
        raise CannotServe(
            f"http.token_file: {path} must hold a token of at least {TOKEN_CHARACTERS_MIN} visible ASCII characters,"
            " like the output of `openssl rand -hex 32`"
        )
    return token


def same(given: str, wanted: str) -> bool:
    """Compare two secrets in a time that says nothing about them, their lengths included."""
    return hmac.compare_digest(*(hashlib.sha256(text.encode()).digest() for text in (given, wanted)))


def cookie(token: str, expires_s: int) -> str:
    """Return a session's cookie: its end, seconds since 1970, and the token's signature under that."""
    key = hashlib.sha256(b"eventwriter session " + token.encode()).digest()
    return f"{expires_s}.{hmac.new(key, str(expires_s).encode(), hashlib.sha256).hexdigest()}"


def is_session(given: str, token: str, now_s: float) -> bool:
    """Say whether a cookie is one of ours and not over."""
    expires, _, _ = given.partition(".")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
        return False
    return same(given, cookie(token, int(expires))) and now_s < int(expires)


def bearer(header: str) -> str | None:
    """Return the token of an Authorization header, None where it has none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_local_name(host: str) -> bool:
    """Say whether a Host header names this machine as only itself calls it."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower() in LOCAL_NAMES


class Access:
    """
    The token in force; read by every handler, read anew by the web child's clock.

    Args:
        http: Where the token's file is.
    """

    def __init__(self, http: HttpSettings) -> None:
        assert http.address is not None, "without an address nothing is served"
        self.address: Address = http.address
        self._path = http.token_file
        self._signature: tuple[int, ...] = ()
        self._token: str | None = None
        # One host's ports share its cookies: each daemon needs a name of its own.
        self.cookie_name = f"eventwriter_{self.address.port}"
        self.is_secure = http.cert_file is not None

    @property
    def is_open(self) -> bool:
        """Whether nobody has to show a token."""
        return self._path is None

    def load(self) -> None:
        """
        Read the token.

        Raises:
            Unusable: There is none to be had.
        """
        if self._path is not None:
            self._signature = signature(self._path)
            self._token = read_token(self._path)

    def refresh(self) -> None:
        """Read the token again if its file has changed; one that cannot be used leaves the old one in force."""
        if self._path is None or signature(self._path) == self._signature:
            return
        try:
            self.load()
        except CannotServe as error:
            log.warning("the old token stays in force", extra={"error": str(error)})
        else:
            log.info("token read again", extra={"path": self._path})

    def allows(self, headers: Mapping[str, str], cookies: Mapping[str, str], now_s: float) -> bool:
        """Say whether a request may read."""
        if self._path is None:
            return is_local_name(headers.get("Host", ""))
        if self._token is None:
            return False
        given = bearer(headers.get("Authorization", ""))
        if given is not None:
            return same(given, self._token)
        return is_session(cookies.get(self.cookie_name, ""), self._token, now_s)

    def login(self, given: str, now_s: float) -> str | None:
        """Return a new session's cookie for the right token, None for any other."""
        if self._token is None or not same(given.strip(), self._token):
            return None
        return cookie(self._token, int(now_s + SESSION_S))


def signature(path: str) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written; nothing where it is not there."""
    try:
        stat = os.stat(path)
    except OSError:
        return ()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns

"""
Access to the web child: a bearer token, or a session cookie that the login page issues for it.

Secrets are compared in constant time. The cookie is signed with the token: it survives a restart
of the daemon, but not a change of the token. Without a token only local addresses are accepted,
and the Host header is checked, so that a foreign page cannot make a browser read from here
under another name (DNS rebinding).

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

TOKEN_CHARACTERS_MIN = 16
"""Long enough not to be guessed at a thousand attempts a second."""
SESSION_S = 30 * 86400.0
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

log = logging.getLogger(__name__)


class CannotServe(EventwriterError):
    """The web child cannot serve with its settings; it retries until they are corrected."""

    default_code = "cannot_serve"


def read_token(path: str) -> str:
    """
    Read the token from its file.

    Raises:
        CannotServe: The file cannot be read, or the token is too weak.
    """
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CannotServe(
            f"http.token_file: cannot read {path}: {error}",
            code="token_unreadable",
            hint="check the path and its permissions",
        ) from None
    if len(token) < TOKEN_CHARACTERS_MIN or not token.isascii() or not token.isprintable() or " " in token:
        raise CannotServe(
            f"http.token_file: {path} must contain a token of at least {TOKEN_CHARACTERS_MIN} printable ASCII"
            " characters without spaces",
            code="token_too_weak",
            hint="create one with `openssl rand -hex 32`",
        )
    return token


def equal_secrets(one: str, other: str) -> bool:
    """Compare two secrets in a time that depends neither on their contents nor on their lengths."""
    return hmac.compare_digest(
        *(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (one, other))
    )


def session_cookie(token: str, expires_s: int) -> str:
    """Return a session cookie: its expiry in seconds since 1970, signed with the token."""
    key = hashlib.sha256(b"eventwriter session " + token.encode()).digest()
    return f"{expires_s}.{hmac.new(key, str(expires_s).encode(), hashlib.sha256).hexdigest()}"


def is_session(cookie: str, token: str, now_s: float) -> bool:
    """Return whether a cookie has a valid signature and has not expired."""
    expires, _, _ = cookie.partition(".")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
        return False
    return equal_secrets(cookie, session_cookie(token, int(expires))) and now_s < int(expires)


def bearer(header: str) -> str | None:
    """Return the token of an Authorization header, None for another scheme."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def is_local_name(host: str) -> bool:
    """Return whether a Host header has a name of this machine that only local clients use."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower() in LOCAL_NAMES


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """
    Return whether a browser says that another site caused a request.

    Source: Fetch Metadata Request Headers, `Sec-Fetch-Site`; for browsers and addresses without it, RFC 6454, `Origin`.
    """
    if site := headers.get("Sec-Fetch-Site"):
        return site not in ("same-origin", "none")
    origin = headers.get("Origin")
    return origin is not None and origin.partition("://")[2].lower() != headers.get("Host", "").lower()


class Access:
    """
    Decides which requests are allowed, by the current token. Read by every handler, refreshed by the web child.

    Args:
        http: Address and path of the token file.
    """

    def __init__(self, http: HttpSettings) -> None:
        assert http.address is not None, "the web child runs only with an address"
        self.address: Address = http.address
        self._path = http.token_file
        self._signature: tuple[int, ...] = ()
        self._token: str | None = None
        # All ports of a host share their cookies, so each daemon needs its own cookie name.
        self.cookie_name = f"eventwriter_{self.address.port}"
        self.is_secure = http.cert_file is not None

    @property
    def needs_token(self) -> bool:
        """Whether requests need a token; without one only local names are allowed."""
        return self._path is not None

    def load(self) -> None:
        """
        Read the token.

        Raises:
            CannotServe: The file cannot be read, or the token is too weak.
        """
        if self._path is not None:
            self._signature = file_signature(self._path)
            self._token = read_token(self._path)

    def refresh(self) -> None:
        """Read the token again if its file has changed; an invalid new token leaves the old one in force."""
        if self._path is None or file_signature(self._path) == self._signature:
            return
        try:
            self.load()
        except CannotServe as error:
            log.warning("the new token cannot be used; the old one stays in force", extra={"error": str(error)})
        else:
            log.info("token reloaded", extra={"path": self._path})

    def allows(self, headers: Mapping[str, str], cookies: Mapping[str, str], now_s: float) -> bool:
        """Return whether a request is allowed."""
        if self._path is None:
            return is_local_name(headers.get("Host", ""))
        if self._token is None:
            return False
        token = bearer(headers.get("Authorization", ""))
        if token is not None:
            return equal_secrets(token, self._token)
        return is_session(cookies.get(self.cookie_name, ""), self._token, now_s)

    def login(self, token: str, now_s: float) -> str | None:
        """Return a new session cookie for the right token, None for a wrong one."""
        if self._token is None or not equal_secrets(token.strip(), self._token):
            return None
        return session_cookie(self._token, int(now_s + SESSION_S))


def file_signature(path: str) -> tuple[int, ...]:
    """Return a value that changes when a file is replaced or written; empty if the file does not exist."""
    try:
        stat = os.stat(path)
    except OSError:
        return ()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns

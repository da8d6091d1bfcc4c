"""Reading secrets from files, and keeping them out of what people see."""

import os
import re
import stat

from eventwriter.errors import Fatal

MASK = "***"

_BYTES_MAX = 64 * 1024
"""No password or token is larger; a path to the wrong file should not be read whole."""

_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")


def masked(text: str) -> str:
    """Return a text with what stands between `://` and `@` replaced: user, password or token of a URL."""
    return _USERINFO.sub(f"{MASK}@", text)


def unreadable(path: str) -> str | None:
    """Say why a file cannot be read; None where it can."""
    try:
        with open(path, "rb", opener=_no_wait) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return "it is not a file"
            return None
    except (OSError, ValueError) as error:
        return (getattr(error, "strerror", None) or str(error)).lower()


def read_secret(key: str, path: str | None) -> str | None:
    """
    Return a secret file's text, white space around it removed; None where no file is set.

    Raises:
        Fatal: The file cannot be read, or nothing is in it.
    """
    if path is None:
        return None
    if why := unreadable(path):
        raise Fatal(f"{key}: cannot read {path}: {why}; make the file readable for the daemon's user")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(f"{key}: cannot read {path}: {type(error).__name__}; it must hold text in UTF-8") from None
    if not text or "\0" in text:
        raise Fatal(f"{key}: {path} {'holds a NUL character' if text else 'is empty'}; write the secret into it")
    return text


def _no_wait(path: str, flags: int) -> int:
    # A FIFO without a writer would otherwise keep us waiting.
    return os.open(path, flags | os.O_NONBLOCK)

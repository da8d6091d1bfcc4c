"""Writing files that may hold secrets: readable by their owner only, complete or not at all, never through a link."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def private_file(path: str) -> Iterator[IO[bytes]]:
    """
    Yield a new file of mode 0600 in the folder of `path`, which takes the place of `path` at the end of the block.

    A file that exists there is replaced, so neither its owner nor its mode applies to the new content. If the block
    raises, the new file is removed.

    Raises:
        OSError: The file cannot be written, or `path` is something other than a regular file, such as a link.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(0, "it exists and is not a regular file")
    folder, name = os.path.split(path)
    part = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(part, flags, 0o600), "wb") as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise

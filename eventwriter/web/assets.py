"""The files that pages are made of, read once from the package: no build, nothing from elsewhere."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from aiohttp import web

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    body: bytes
    media_type: str
    etag: str

    @property
    def is_page(self) -> bool:
        """Whether it is a page with a path of its own."""
        return self.media_type.startswith("text/html")

    def response(self, known: str | None = None, status: int = 200) -> web.Response:
        """
        Return it as an answer; a short one where the reader has it already.

        Args:
            known: The reader's If-None-Match header.
            status: HTTP's.
        """
        headers = {"Content-Type": self.media_type, "ETag": self.etag, "Cache-Control": "no-cache"}
        if known == self.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=self.body, status=status, headers=headers)


def assets() -> dict[str, Asset]:
    """Read all files; by name."""
    found = {}
    for file in files("eventwriter.web").joinpath("static").iterdir():
        if media_type := MEDIA_TYPES.get(file.name.rpartition(".")[2]):
            body = file.read_bytes()
            found[file.name] = Asset(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:16]}"')
    wrong = found["login.html"].body.replace(b'id="wrong" hidden', b'id="wrong"')
    found["login-wrong.html"] = Asset(wrong, MEDIA_TYPES["html"], '"wrong"')
    return found

"""Section `http`: the web child."""

from typing import Annotated

from pydantic import AfterValidator

from eventwriter.config.address import Address, parse_address
from eventwriter.config.settings.fields import Record, SecretPath


def _address(text: str) -> str:
    """Check an address, and return it with its host."""
    return str(parse_address(text))


class HttpSettings(Record):
    """
    The web child: health, status, metrics and the dashboard, all read-only. It runs only if `listen` is set.

    It is a separate process: workers are not affected when it ends.
    """

    listen: Annotated[str, AfterValidator(_address)] | None = None
    """Address and port, like "127.0.0.1:8088", or ":8088" for this machine only. An address that other machines can
    reach requires `token_file`. Default: none, and no web child runs."""
    token_file: SecretPath | None = None
    """File with the token that clients must send, as `Authorization: Bearer …` or on the login page; at least 16
    characters. It is read again when it changes; users must then log in again. Default: no token, for this machine
    only."""
    cert_file: str | None = None
    """PEM file with the certificate for HTTPS and its chain. It is read again when it changes. Default: plain
    HTTP."""
    key_file: SecretPath | None = None
    """PEM file with the key of `cert_file`. Default: the key is read from `cert_file`."""

    @property
    def address(self) -> Address | None:
        """Address to listen on, None for no web child."""
        return parse_address(self.listen) if self.listen else None

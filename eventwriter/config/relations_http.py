"""What the web child's settings must be to each other; pure."""

from collections.abc import Iterator

from eventwriter.config.settings import HttpSettings


def http_mistakes(http: HttpSettings) -> Iterator[str]:
    """Yield what contradicts itself, one sentence each."""
    if http.address and not http.address.is_loopback and not http.token_file:
        yield (
            f"http.listen {http.listen}: other machines reach it, and whoever does would read everything; give"
            f" http.token_file too, or listen on 127.0.0.1:{http.address.port}"
        )
    if http.key_file and not http.cert_file:
        yield "http.key_file: given without http.cert_file; give both, or neither"


def http_warnings(http: HttpSettings) -> Iterator[str]:
    """Yield what works and is likely not meant."""
    if http.address and not http.address.is_loopback and not http.cert_file:
        yield (
            f"http.listen {http.listen}: without http.cert_file the token crosses the network readable for all; give"
            " a certificate, or put a proxy with TLS before it"
        )

"""What the web child's settings must be to each other."""

from typing import Any

import pytest

from eventwriter.config import cross_checks
from eventwriter.config.settings import Settings


def settings(**http: Any) -> Settings:
    """Return settings with this section."""
    return Settings.model_validate({"http": http})


@pytest.mark.parametrize(
    ("http", "sentence"),
    [
        ({"listen": "0.0.0.0:8088"}, "http.listen 0.0.0.0:8088: other machines reach it"),
        ({"listen": "[::]:8088"}, "or listen on 127.0.0.1:8088"),
        ({"listen": ":1", "key_file": "k"}, "http.key_file: given without http.cert_file"),
    ],
)
def test_contradiction_is_one_sentence(http: dict[str, Any], sentence: str) -> None:
    """An address that others reach needs a token; a key needs its certificate."""
    (said,) = cross_checks.mistakes(settings(**http))

    assert sentence in said


@pytest.mark.parametrize(
    "http",
    [{}, {"listen": ":1"}, {"listen": "0.0.0.0:1", "token_file": "t"}, {"listen": "[::1]:1", "token_file": "t"}],
    ids=str,
)
def test_what_fits_is_no_mistake(http: dict[str, Any]) -> None:
    """This machine's own address needs nothing; any other a token."""
    assert [] == cross_checks.mistakes(settings(**http))


def test_token_in_the_open_is_a_warning() -> None:
    """A token without TLS works, and is said to be readable."""
    (said,) = cross_checks.warnings(settings(listen="0.0.0.0:1", token_file="t"))

    assert "http.listen 0.0.0.0:1: without http.cert_file the token crosses the network" in said
    assert [] == cross_checks.warnings(settings(listen="0.0.0.0:1", token_file="t", cert_file="c"))

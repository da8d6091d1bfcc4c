"""Access to the web child by token and by session cookie."""

import os
from pathlib import Path
from typing import Any

import pytest

from eventwriter.config.settings import HttpSettings
from eventwriter.web.auth import (
    SESSION_S,
    Access,
    CannotServe,
    bearer,
    equal_secrets,
    is_cross_site,
    is_local_name,
    is_session,
    read_token,
    session_cookie,
)

TOKEN = "0123456789abcdef"
OTHER = "fedcba9876543210"
NOW_S = 1_767_225_600.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A token file."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def access(**http: Any) -> Access:
    """Return the access control for these settings, with its token loaded."""
    result = Access(HttpSettings.model_validate({"listen": ":8088", **http}))
    result.load()
    return result


def test_bearer_token_gives_access(file: Path) -> None:
    """The token in the header gives access; a wrong, truncated or missing token or another scheme does not."""
    control = access(token_file=str(file))

    assert control.allows({"Authorization": f"Bearer {TOKEN}"}, {}, NOW_S)
    for header in (f"Bearer {OTHER}", f"Bearer {TOKEN[:8]}", "Bearer ", f"Basic {TOKEN}", TOKEN, ""):
        assert not control.allows({"Authorization": header}, {}, NOW_S)


def test_session_gives_access_until_it_expires(file: Path) -> None:
    """A session cookie gives access for thirty days."""
    control = access(token_file=str(file))
    session = control.login(f" {TOKEN}", NOW_S)
    assert session is not None
    cookies = {control.cookie_name: session}

    assert control.allows({}, cookies, NOW_S)
    assert control.allows({}, cookies, NOW_S + SESSION_S - 1)
    assert not control.allows({}, cookies, NOW_S + SESSION_S)


def test_session_is_bound_to_the_token(file: Path) -> None:
    """A cookie is valid for another process with the same token, and invalid for one with another token."""
    session = access(token_file=str(file)).login(TOKEN, NOW_S)
    assert session is not None
    assert access(token_file=str(file)).allows({}, {"eventwriter_8088": session}, NOW_S)

    file.write_text(OTHER)
    assert not access(token_file=str(file)).allows({}, {"eventwriter_8088": session}, NOW_S)


@pytest.mark.parametrize(
    "forged",
    ["", ".", "x", "99999999999", "99999999999.", f"99999999999.{'0' * 64}", "-1.x", "٣.x", "1" * 5000, "1e9.x"],
)
def test_forged_session_is_rejected(forged: str) -> None:
    """A cookie without a valid signature is no session, whatever it contains."""
    assert not is_session(forged, TOKEN, NOW_S)


def test_session_cannot_be_extended() -> None:
    """A later expiry with the signature of an earlier one is no session."""
    signature = session_cookie(TOKEN, int(NOW_S) + 10).partition(".")[2]

    assert not is_session(f"{int(NOW_S) + 10_000}.{signature}", TOKEN, NOW_S)


@pytest.mark.parametrize("given", [OTHER, "", TOKEN[:-1], TOKEN + "x"])
def test_wrong_token_gets_no_session(file: Path, given: str) -> None:
    """A login with anything but the token gets no session."""
    assert access(token_file=str(file)).login(given, NOW_S) is None


def test_nothing_is_allowed_before_the_token_is_loaded(file: Path) -> None:
    """Before the token is loaded, an empty token gives no access and no session."""
    control = Access(HttpSettings.model_validate({"listen": ":8088", "token_file": str(file)}))

    assert not control.allows({"Authorization": "Bearer "}, {}, NOW_S)
    assert control.login("", NOW_S) is None


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8088", True),
        ("localhost", True),
        ("LOCALHOST:8088", True),
        ("[::1]:8088", True),
        ("evil.example:8088", False),
        ("localhost.evil.example", False),
        ("", False),
        ("127.0.0.1.nip.io:8088", False),
    ],
)
def test_local_host_names_are_allowed_without_a_token(host: str, allowed: bool) -> None:
    """Without a token, only requests with a local Host header are allowed."""
    assert allowed == access().allows({"Host": host}, {}, NOW_S) == is_local_name(host)


@pytest.mark.parametrize(
    "text", ["", "short", "with a space in it", "täglich-ein-neues-token", "line\nbreak0123456789"]
)
def test_weak_token_is_rejected(file: Path, text: str) -> None:
    """A short token, or one with other than printable ASCII characters, is rejected with a hint how to create one."""
    file.write_text(text)

    with pytest.raises(CannotServe) as raised:
        read_token(str(file))

    assert ("token_too_weak", True) == (raised.value.code, "openssl rand -hex 32" in (raised.value.hint or ""))


def test_unreadable_token_file_is_named(tmp_path: Path) -> None:
    """The error for a missing token file names its path."""
    with pytest.raises(CannotServe) as raised:
        read_token(str(tmp_path / "none"))

    assert "token_unreadable" == raised.value.code
    assert f"{tmp_path}/none" in raised.value.message


def test_changed_token_takes_effect(file: Path) -> None:
    """A replaced token is in force after the next refresh; if the file is removed, the old token stays in force."""
    control = access(token_file=str(file))
    new = file.with_name("new")
    new.write_text(OTHER)
    os.replace(new, file)
    control.refresh()
    assert (False, True) == tuple(
        control.allows({"Authorization": f"Bearer {token}"}, {}, NOW_S) for token in (TOKEN, OTHER)
    )

    file.unlink()
    control.refresh()
    assert control.allows({"Authorization": f"Bearer {OTHER}"}, {}, NOW_S)


def test_bearer_scheme_ignores_case() -> None:
    """The scheme of the Authorization header is compared case-insensitively, as in RFC 6750."""
    assert ("x", "x", None) == (bearer("Bearer x"), bearer("bearer  x"), bearer("Basic x"))


@pytest.mark.parametrize("value", ["\udcff\udcfe", "\udcc3(", "ü", "\U0001f600"])
def test_token_that_is_not_utf8_is_wrong(tmp_path: Path, value: str) -> None:
    """Bytes of a header that are not UTF-8 arrive as surrogates; they are a wrong token and no error."""
    assert not equal_secrets(value, "a" * 40)
    assert not is_session(f"12345.{value}", "a" * 40, 0.0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://proxy"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "https://H:8080", "Host": "h:8080"}, False),
        ({"Origin": "https://evil.example", "Host": "h:8080"}, True),
        ({"Origin": "null", "Host": "h:8080"}, True),
    ],
)
def test_requests_of_other_sites_are_recognised(headers: dict[str, str], expected: bool) -> None:
    """Fetch metadata decides; without it the origin must be the host."""
    assert expected is is_cross_site(headers)

"""Who may read."""

import os
from pathlib import Path
from typing import Any

import pytest

from eventwriter.config.settings import HttpSettings
from eventwriter.web.auth import SESSION_S, Access, CannotServe, bearer, cookie, is_local_name, is_session, read_token

TOKEN = "0123456789abcdef"
OTHER = "fedcba9876543210"
NOW_S = 1_767_225_600.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with the token."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def access(**http: Any) -> Access:
    """Return what decides, with its token read."""
    made = Access(HttpSettings.model_validate({"listen": ":8088", **http}))
    made.load()
    return made


def test_bearer_token_opens(file: Path) -> None:
    """The token in the header opens; another, half of it, none, or another scheme does not."""
    door = access(token_file=str(file))

    assert door.allows({"Authorization": f"Bearer {TOKEN}"}, {}, NOW_S)
    for header in (f"Bearer {OTHER}", f"Bearer {TOKEN[:8]}", "Bearer ", f"Basic {TOKEN}", TOKEN, ""):
        assert not door.allows({"Authorization": header}, {}, NOW_S)


def test_session_opens_until_its_end(file: Path) -> None:
    """The login's cookie opens for thirty days."""
    door = access(token_file=str(file))
    session = door.login(f" {TOKEN}", NOW_S)
    assert session is not None
    cookies = {door.cookie_name: session}

    assert door.allows({}, cookies, NOW_S)
    assert door.allows({}, cookies, NOW_S + SESSION_S - 1)
    assert not door.allows({}, cookies, NOW_S + SESSION_S)


def test_session_outlives_a_restart_and_no_change_of_the_token(file: Path) -> None:
    """The cookie is good for another process with the same token, and for none with another."""
    session = access(token_file=str(file)).login(TOKEN, NOW_S)
    assert session is not None
    assert access(token_file=str(file)).allows({}, {"eventwriter_8088": session}, NOW_S)

    file.write_text(OTHER)
    assert not access(token_file=str(file)).allows({}, {"eventwriter_8088": session}, NOW_S)


@pytest.mark.parametrize(
    "forged",
    ["", ".", "x", "99999999999", "99999999999.", f"99999999999.{'0' * 64}", "-1.x", "٣.x", "1" * 5000, "1e9.x"],
)
def test_forged_session_opens_nothing(forged: str) -> None:
    """What we did not sign is no session, and breaks nothing."""
    assert not is_session(forged, TOKEN, NOW_S)


def test_session_cannot_be_prolonged() -> None:
    """A later end with an earlier end's signature is no session."""
    signature = cookie(TOKEN, int(NOW_S) + 10).partition(".")[2]

    assert not is_session(f"{int(NOW_S) + 10_000}.{signature}", TOKEN, NOW_S)


@pytest.mark.parametrize("given", [OTHER, "", TOKEN[:-1], TOKEN + "x"])
def test_wrong_token_gives_no_session(file: Path, given: str) -> None:
    """Only the token itself logs in."""
    assert access(token_file=str(file)).login(given, NOW_S) is None


def test_token_that_is_not_read_yet_opens_nothing(file: Path) -> None:
    """Before its token is known nothing is open."""
    door = Access(HttpSettings.model_validate({"listen": ":8088", "token_file": str(file)}))

    assert not door.allows({"Authorization": "Bearer "}, {}, NOW_S)
    assert door.login("", NOW_S) is None


@pytest.mark.parametrize(
    ("host", "opens"),
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
def test_without_a_token_only_this_machines_names_open(host: str, opens: bool) -> None:
    """A browser that was led here under another name reads nothing."""
    assert opens == access().allows({"Host": host}, {}, NOW_S) == is_local_name(host)


@pytest.mark.parametrize(
    "text", ["", "short", "with a space in it", "täglich-ein-neues-token", "line\nbreak0123456789"]
)
def test_token_that_can_be_guessed_is_refused(file: Path, text: str) -> None:
    """A token has at least 16 visible characters; the sentence names the file and a way to make one."""
    file.write_text(text)

    with pytest.raises(CannotServe, match=f"http.token_file: {file} must hold .*openssl rand -hex 32"):
        read_token(str(file))


def test_token_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(CannotServe, match=f"http.token_file: cannot read {tmp_path}/none: .*check the path"):
        read_token(str(tmp_path / "none"))


def test_changed_token_takes_effect(file: Path) -> None:
    """A token that is replaced is in force at the next look; one that is gone leaves the old one in force."""
    door = access(token_file=str(file))
    new = file.with_name("new")
    new.write_text(OTHER)
    os.replace(new, file)
    door.refresh()
    assert (False, True) == tuple(
        door.allows({"Authorization": f"Bearer {token}"}, {}, NOW_S) for token in (TOKEN, OTHER)
    )

    file.unlink()
    door.refresh()
    assert door.allows({"Authorization": f"Bearer {OTHER}"}, {}, NOW_S)


def test_header_is_read_as_rfc_6750_has_it() -> None:
    """The scheme's case does not matter."""
    assert ("x", "x", None) == (bearer("Bearer x"), bearer("bearer  x"), bearer("Basic x"))

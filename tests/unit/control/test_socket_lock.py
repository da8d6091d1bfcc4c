"""Taking the control socket's path."""

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from eventwriter.control.socket_lock import SocketTaken, SocketUnusable, claim, lock_path


def test_socket_has_the_mode_it_was_given(tmp_path: Path) -> None:
    """The socket's permissions are what the settings say, whatever the umask."""
    claimed = claim(str(tmp_path / "s"), 0o660, None)

    assert 0o660 == stat.S_IMODE((tmp_path / "s").stat().st_mode)
    claimed.leave()
    assert [] == list(tmp_path.iterdir())


def test_second_daemon_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    """Two daemons cannot have one socket."""
    path = str(tmp_path / "s")
    first = claim(path, 0o660, None)

    with pytest.raises(SocketTaken) as error:
        claim(path, 0o660, None)

    assert f"another eventwriter (pid {os.getpid()}) answers on {path}" == str(error.value)
    first.leave()
    claim(path, 0o660, None).leave()


def test_killed_daemons_leftovers_are_replaced(tmp_path: Path) -> None:
    """A daemon that died by SIGKILL leaves socket and lock; both are taken over."""
    path = str(tmp_path / "s")
    pid = os.fork()
    if pid == 0:
        claim(path, 0o660, None)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert (True, True) == (os.path.exists(path), os.path.exists(lock_path(path)))

    claimed = claim(path, 0o660, None)

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    claimed.leave()


def test_foreign_listener_is_not_pushed_aside(tmp_path: Path) -> None:
    """A program that answers there without our lock keeps its socket."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(path)
        foreign.listen()

        with pytest.raises(SocketTaken) as error:
            claim(path, 0o660, None)

    assert f"another program (pid {os.getpid()}) answers on {path}" == str(error.value)
    assert os.path.exists(path)
    assert not os.path.exists(lock_path(path))


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """A regular file in the way is named and kept."""
    path = tmp_path / "s"
    path.write_text("precious")

    with pytest.raises(SocketUnusable, match="is there already and is no socket"):
        claim(str(path), 0o660, None)

    assert "precious" == path.read_text()


@pytest.mark.parametrize(
    ("path", "group", "sentence"),
    [
        ("/tmp/" + "x" * 103, None, "has 108 bytes; a Unix socket's path has at most 107"),
        ("/nonexistent/s", None, "No such file or directory; its folder must exist and be writable"),
        ("s", "no-such-group", "control.group 'no-such-group' is no group of this machine"),
    ],
)
def test_impossible_path_is_explained(path: str, group: str | None, sentence: str) -> None:
    """What cannot be taken is refused with what to do."""
    with pytest.raises(SocketUnusable) as error:
        claim(path, 0o660, group)

    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_longest_path_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of exactly 107 bytes is taken."""
    path = str(tmp_path) + "/"
    path += "x" * (107 - len(path))

    claim(path, 0o600, None).leave()


def test_unknown_owner_is_named(tmp_path: Path) -> None:
    """A user that does not exist is said to be none."""
    with pytest.raises(SocketUnusable, match=r"control\.owner 'no-such-user' is no user of this machine"):
        claim(str(tmp_path / "s"), 0o660, None, "no-such-user")
    assert [] == list(tmp_path.iterdir())

"""Binding of the control socket."""

import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from eventwriter.control.socket_lock import SocketTaken, SocketUnusable, acquire, lock_path


def test_socket_has_the_configured_mode(tmp_path: Path) -> None:
    """The socket has the configured permission bits regardless of the umask, and its files are removed afterwards."""
    bound = acquire(str(tmp_path / "s"), 0o660, None)

    assert 0o660 == stat.S_IMODE((tmp_path / "s").stat().st_mode)
    bound.release()
    assert [] == list(tmp_path.iterdir())


def test_second_daemon_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    """A second daemon on the same socket is refused with the pid of the first one."""
    path = str(tmp_path / "s")
    first = acquire(path, 0o660, None)

    with pytest.raises(SocketTaken) as error:
        acquire(path, 0o660, None)

    assert f"another eventwriter (pid {os.getpid()}) is using {path}" == str(error.value)
    first.release()
    acquire(path, 0o660, None).release()


def test_files_of_a_killed_daemon_are_replaced(tmp_path: Path) -> None:
    """Socket and lock file of a daemon that was killed are taken over."""
    path = str(tmp_path / "s")
    pid = os.fork()
    if pid == 0:
        acquire(path, 0o660, None)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert (True, True) == (os.path.exists(path), os.path.exists(lock_path(path)))

    bound = acquire(path, 0o660, None)

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    bound.release()


def test_socket_of_another_program_is_kept(tmp_path: Path) -> None:
    """A program that answers on the path without holding the lock keeps its socket."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(path)
        foreign.listen()

        with pytest.raises(SocketTaken) as error:
            acquire(path, 0o660, None)

    assert f"another program (pid {os.getpid()}) is using {path}" == str(error.value)
    assert os.path.exists(path)
    assert not os.path.exists(lock_path(path))


def test_regular_file_is_kept(tmp_path: Path) -> None:
    """A regular file at the path causes an error and is not changed."""
    path = tmp_path / "s"
    path.write_text("precious")

    with pytest.raises(SocketUnusable, match="exists and is not a socket"):
        acquire(str(path), 0o660, None)

    assert "precious" == path.read_text()


@pytest.mark.parametrize(
    ("path", "group", "reason"),
    [
        ("/tmp/" + "x" * 103, None, "has 108 bytes"),
        ("/nonexistent/s", None, "No such file or directory"),
        ("s", "no-such-group", "control.group 'no-such-group' does not exist"),
    ],
)
def test_unusable_path_is_refused_with_a_hint(path: str, group: str | None, reason: str) -> None:
    """A path or group that cannot be used raises SocketUnusable with a reason and a hint."""
    with pytest.raises(SocketUnusable) as error:
        acquire(path, 0o660, group)

    assert reason in error.value.message
    assert error.value.hint


def test_longest_path_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of exactly 107 bytes is accepted."""
    path = str(tmp_path) + "/"
    path += "x" * (107 - len(path))

    acquire(path, 0o600, None).release()


def test_unknown_owner_is_refused(tmp_path: Path) -> None:
    """An owner that does not exist is refused, and no file remains."""
    with pytest.raises(SocketUnusable, match=r"control\.owner 'no-such-user' does not exist"):
        acquire(str(tmp_path / "s"), 0o660, None, "no-such-user")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_lock_file_of_another_user_is_refused_in_a_shared_folder(tmp_path: Path) -> None:
    """Another user who creates the lock file in a folder for all users does not hold up the daemon in silence."""
    tmp_path.chmod(0o777)
    path = str(tmp_path / "s")
    Path(lock_path(path)).touch(0o600)
    os.chown(lock_path(path), 65534, -1)

    with pytest.raises(SocketUnusable, match="belongs to another user"):
        acquire(path, 0o600, None)

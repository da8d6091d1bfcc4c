"""Files that may hold secrets: new, readable by their owner only, complete or not at all."""

import os
import stat
from pathlib import Path

import pytest

from eventwriter.cli.private_file import private_file


def write(path: Path, content: bytes = b"new") -> None:
    """Write a private file."""
    with private_file(str(path)) as file:
        file.write(content)


def test_existing_file_is_replaced_with_mode_0600(tmp_path: Path) -> None:
    """The mode of a file that exists, and a program that has it open, do not see the new content."""
    path = tmp_path / "dump"
    path.write_bytes(b"old")
    path.chmod(0o666)
    with path.open("rb") as reader:
        write(path)

        assert b"old" == reader.read()
    assert (b"new", 0o600) == (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_links_and_other_files_are_refused(tmp_path: Path, kind: str) -> None:
    """A symbolic link is not followed, and neither a device, a pipe nor a folder is replaced."""
    path, target = tmp_path / "dump", tmp_path / "target"
    if kind == "link":
        target.write_bytes(b"old")
    if "link" in kind:
        path.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = path.lstat()

    with pytest.raises(OSError, match="not a regular file"):
        write(path)

    assert os.path.samestat(before, path.lstat())
    assert not target.exists() or b"old" == target.read_bytes()


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    """If the block raises, the old file stays and the new one is removed."""
    path = tmp_path / "dump"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with private_file(str(path)) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert b"old" == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    """A missing folder is reported as such."""
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "missing" / "dump")

"""The comparison with golden files, and their list."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from fix_golden import GOLDEN, UPDATE_COMMAND, CheckGolden, difference


def test_equal_text_has_no_difference(tmp_path: Path) -> None:
    """A text equal to its golden file passes."""
    (tmp_path / "a.txt").write_text("one\ntwo\n")

    assert "" == difference(tmp_path / "a.txt", "one\ntwo\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\n2\n", "-two\n+2"),
        ("one\ntwo\nthree\n", "+three"),
        ("one\ntwo", "newline"),
        ("one\r\ntwo\r\n", "line endings"),
    ],
)
def test_other_text_is_shown_as_difference(tmp_path: Path, text: str, shown: str) -> None:
    """Changed, added and removed lines are shown, and so is a difference in line endings alone."""
    (tmp_path / "a.txt").write_text("one\ntwo\n")

    assert shown in difference(tmp_path / "a.txt", text)


def test_missing_file_is_a_difference(tmp_path: Path) -> None:
    """A check without a golden file fails instead of passing silently."""
    assert "does not exist" in difference(tmp_path / "a.txt", "")


def test_failure_names_the_command_to_update(request: pytest.FixtureRequest, check_golden: CheckGolden) -> None:
    """A difference fails the test, and the message says how to accept the change."""
    if request.config.getoption("--update-golden"):
        pytest.skip("would write the file")

    with pytest.raises(pytest.fail.Exception, match=re.escape(UPDATE_COMMAND)):
        check_golden("README.md", "other")


def test_readme_lists_every_file() -> None:
    """Each golden file is described in the README, and each entry there describes a file."""
    patterns = re.findall(r"^\| `(\S+)` \|", (GOLDEN / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    files = [path.name for path in GOLDEN.iterdir() if path.name != "README.md"]

    assert [] == [name for name in files if not any(fnmatch(name, pattern) for pattern in patterns)]
    assert [] == [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in files)]

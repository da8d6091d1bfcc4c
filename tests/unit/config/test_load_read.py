"""Reading one file."""

from pathlib import Path

import pytest

from eventwriter.config.load import read
from eventwriter.errors import ConfigError


def refusal(path: Path) -> str:
    """Return the sentence that reading ends with."""
    with pytest.raises(ConfigError) as caught:
        read(str(path))
    assert 1 == len(caught.value.mistakes)
    return caught.value.mistakes[0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.json", b'{\n "a": 1,\n "b" 2\n}', "line 3, column 6: no JSON: expecting ':' delimiter"),
        ("c.json", b'{\n "a": 1,\n}', "a comma before the closing }; remove it"),
        ("c.json", b'{\n // why\n "a": 1}', "line 2, column 2: no JSON: JSON has no comments"),
        ("c.json", b"", "the file is empty"),
        ("c.json", b'{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ("c.json", b"[1]", "holds a list; an object with keys is wanted"),
        ("c.json", b'{"a": "\n\xff"}', "line 2: is no text in UTF-8"),
        ("c.json", b"[" * 100_000, "nested too deeply"),
        ("c.toml", b"a = 1\nb = \n", "no TOML: Invalid value (at line 2, column 5)"),
        ("c.toml", b"a = 1\na = 2\n", "no TOML: Cannot overwrite a value (at line 2"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """The sentence has the file, the line where there is one, and what is wrong."""
    path = tmp_path / name
    path.write_bytes(content)

    assert f"{path}: " in (sentence := refusal(path))
    assert said in sentence


def test_missing_file_and_folder_are_sentences(tmp_path: Path) -> None:
    """A path that leads nowhere, or to a folder, is said to."""
    assert f"{tmp_path}: is a folder; the path of a JSON or TOML file is wanted" == refusal(tmp_path)
    assert "cannot be read: No such file or directory; check the path" in refusal(tmp_path / "c.json")


def test_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """A file that an editor of another system began with a mark is read."""
    path = tmp_path / "c.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')

    assert {"a": 1} == read(str(path))

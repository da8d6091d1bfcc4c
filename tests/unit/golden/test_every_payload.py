"""Every payload in tests/data has a golden test."""

from pathlib import Path

import pytest
from golden_rows import DATA

ELSEWHERE = ("generations", "go_config", "golden", "producers")
"""Folders without payloads that have expected rows; other tests use them."""

FOLDERS = sorted(path for path in DATA.iterdir() if path.name not in ELSEWHERE)
TESTS = "".join(
    path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_payload_has_expected_rows_or_a_test_names_it(folder: Path) -> None:
    """Every payload has a file of expected rows, or a test names the payload or its folder."""
    files = list(folder.iterdir())
    expected = {path.name.partition(".")[0] for path in files if {".row", ".rows"} & set(path.suffixes)}
    payloads = [path for path in files if not {".row", ".rows"} & set(path.suffixes)]
    whole_folder = f'"{folder.name}"' in TESTS and not expected
    without = [p.name for p in payloads if p.stem not in expected and f'{p.name}"' not in TESTS]

    assert payloads
    assert whole_folder or not without

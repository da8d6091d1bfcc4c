"""The runner of the pages' shell blocks: what it runs, repeats and accepts."""

from pathlib import Path

import pytest
from doc_session import matches, steps

PAGE = """
Text.

<!-- not run: needs Docker -->
```sh
docker run nats
```

```sh
psql -c 'SELECT 1'
```

```text
1
```

Words between.

```text
no output of a block
```

<!-- exit code: 1 -->
```sh
eventwriter doctor
```
"""


def test_blocks_are_found_with_their_output_and_notes(tmp_path: Path) -> None:
    """Only a block right after a shell block is its output; comments say what is not run and how a block ends."""
    (tmp_path / "page.md").write_text(PAGE)

    docker, psql, doctor = steps(tmp_path / "page.md")

    assert (False, True, True) == (docker.runs, psql.runs, doctor.runs)
    assert (None, "1\n", None) == (docker.expected, psql.expected, doctor.expected)
    assert (0, 1) == (psql.exit_code, doctor.exit_code)
    assert psql.repeatable


@pytest.mark.parametrize(
    ("expected", "output", "exact", "accepted"),
    [
        ("rows  3", "rows 17", False, True),
        ("rows  3", "rows 17", True, False),
        ("rows  3", "rows    3", True, True),
        ("first\n...\nlast", "first\nmiddle\nlast", True, True),
        ("first\n...\nlast", "first\nlast", True, True),
        ("first\n...\nlast", "first\nlast\nmore", True, False),
        ("dead letter 1, new", "dead letter 1, replayed", False, False),
        ("/tmp/a/x.toml: valid", "/home/me/x.toml: valid", False, True),
    ],
)
def test_output_is_compared_by_its_words(expected: str, output: str, exact: bool, accepted: bool) -> None:
    """Words must be those of the page; numbers, paths and padding may differ unless the output is psql's."""
    assert accepted == matches(expected, output, exact)

"""Hook of mkdocs: a link to a file outside `docs/`, which the site does not have, becomes its text."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:README\.md|deploy|eventwriter)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's Markdown without links that leave the site."""
    return _OUTSIDE.sub(r"\1", markdown)

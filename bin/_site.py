"""Hook of mkdocs that replaces links to files outside `docs/`, which the site does not contain, by their text."""

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:README\.md|deploy|eventwriter)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the Markdown of a page without links to files outside the site."""
    return _OUTSIDE.sub(r"\1", markdown)

"""Console of rich for tables and screens, which escapes what a terminal would obey in foreign text."""

from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from eventwriter.observe.escape import printable


class SafeConsole(Console):
    """Console that escapes the text of everything it renders and interprets no markup in it."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the segments of a renderable; only those that rich itself made for the terminal stay as they are."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def console(*, file: IO[str] | None = None, stderr: bool = False, **options: Any) -> SafeConsole:
    """Return a console, without colours if its file is not a terminal or NO_COLOR is set."""
    return SafeConsole(file=file, stderr=stderr, highlight=False, markup=False, emoji=False, **options)

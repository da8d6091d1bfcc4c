"""The demo's screen: a live table on a terminal, a line a second elsewhere."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live

from eventwriter.cli.render import number, render

Picture = Mapping[str, Any]


class Screen:
    """Where snapshots are shown, as a context manager: at its end the terminal is as it was before."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> "Screen":
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End; the cursor is shown again."""
        if self._live is not None:
            self._live.stop()

    def show(self, picture: Picture) -> None:
        """Show a snapshot as `eventwriter-ctl status` answers it."""
        if self._live is not None:
            self._live.update(render(picture, self._console.width), refresh=True)
        else:
            self._print("  ".join(brief(slot) for slot in picture["slots"]))

    def say(self, sentence: str) -> None:
        """Say something that stays, above the table."""
        self._print(sentence)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def brief(slot: Picture) -> str:
    """Return a slot in a few words."""
    return (
        f"{slot['name']} {slot['state']:<8} {slot['rows_per_s'] or 0:8,.0f} rows/s  {slot['rows_total']:,} rows"
        f"  {slot['dead_letters_total']} dead  lag {number(slot['lag_messages'])}"
    )

"""
Runs the shell blocks of a documentation page in one shell and compares their output with the page.

A block fenced as `sh` is run. A block fenced as `text` right after it is its expected output, in which a
line `...` stands for any number of lines, and white space may differ. Numbers and times may differ too,
except in the output of psql. An HTML comment on
the line before a block may say `not run: REASON`, `install`, or `exit code: N`.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

WAIT_S = 90.0
"""Time limit for an output that appears only once the daemon has worked."""

_LOOKS = ("eventwriter-ctl ", "psql ", "eventwriter doctor")
"""Beginnings of blocks that only look, so that they may be repeated until the output is as expected."""

_CHANGES = re.compile(r"CREATE|ALTER|DROP|replay|purge|pause|resume|drain|restart|reload|scale|stop").search

_BLOCK = re.compile(r"^(?:<!-- (?P<note>.*?) -->\n)?```(?P<language>sh|text)\n(?P<body>.*?)^```$", re.M | re.S)


@dataclass(slots=True)
class Step:
    """One shell block of a page."""

    commands: str
    note: str
    expected: str | None = None

    @property
    def runs(self) -> bool:
        """Whether the block is run as part of the session."""
        return not self.note.startswith(("not run", "install"))

    @property
    def exit_code(self) -> int:
        """The exit code of the block's last command."""
        return int(self.note.removeprefix("exit code: ")) if self.note.startswith("exit code") else 0

    def accepts(self, exit_code: int, output: str) -> bool:
        """Return whether the block ended as the page says."""
        exact = self.commands.startswith("psql ")
        return exit_code == self.exit_code and (self.expected is None or matches(self.expected, output, exact))

    @property
    def repeatable(self) -> bool:
        """Whether the block may be repeated until its output is as expected."""
        changes = re.search(
            r"CREATE|ALTER|INSERT|UPDATE|DELETE|replay|purge|pause|resume|drain|reload|stop", self.commands
        )
        return self.commands.startswith(_LOOKS) and not changes


def steps(page: Path) -> list[Step]:
    """Return the shell blocks of a page in order, each with its expected output."""
    found: list[Step] = []
    text, end = page.read_text(), 0
    for block in _BLOCK.finditer(text):
        if block["language"] == "sh":
            found.append(Step(block["body"], block["note"] or ""))
        elif found and found[-1].expected is None and text[end : block.start()].strip() == "":
            found[-1].expected = block["body"]
        end = block.end()
    return found


def normalised(line: str, exact: bool) -> str:
    """Return a line without what differs from run to run: padding and, unless it must be exact, numbers and paths."""
    if not exact:
        line = re.sub(r"\d[\d.,:TZ+-]*", "0", line)
    line = re.sub(r"\S*/(?=[\w.-]+\.(?:toml|json|sock))", "", line)
    return re.sub(r"[-─]{2,}", "--", re.sub(r"\s+", " ", line)).strip()


def matches(expected: str, output: str, exact: bool = False) -> bool:
    """
    Return whether an output is as expected.

    Args:
        expected: The page's block; a line `...` matches any number of lines.
        output: What the commands printed.
        exact: Compare numbers too.
    """
    pattern = "".join(
        "(?:.*\n)*?" if line.strip() == "..." else re.escape(normalised(line, exact)) + "\n"
        for line in expected.strip().splitlines()
    )
    actual = "".join(normalised(line, exact) + "\n" for line in output.strip().splitlines())
    return re.fullmatch(pattern, actual) is not None


class Shell:
    """A bash that stays open between blocks, so that variables and background jobs survive."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env={**os.environ, **environ}, start_new_session=True,
        )  # fmt: skip
        self._count = 0

    def run(self, commands: str) -> tuple[int, str]:
        """Run a block and return its exit code and output."""
        assert self._bash.stdin
        assert self._bash.stdout
        self._count += 1
        mark = f"end-of-block-{self._count}"
        self._bash.stdin.write(f"{commands}\necho {mark} $?\n")
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            if line.startswith(mark):
                return int(line.split()[1]), "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell exited in:\n{commands}\n{''.join(lines)}")

    def close(self) -> None:
        """End the shell."""
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.close()
        self._bash.stdout.close()
        self._bash.wait(WAIT_S)


def run_page(page: Path, shell: Shell, replace: Mapping[str, str]) -> Iterator[Step]:
    """
    Run the blocks of a page, and yield each after its output was as expected.

    Args:
        page: The page.
        shell: Where to run the blocks.
        replace: Texts of the page, such as addresses, and what to put in their place.
    """
    for step in steps(page):
        if step.runs:
            commands = step.commands
            for text, other in replace.items():
                commands = commands.replace(text, other)
            _run(step, commands, shell)
            yield step


def _run(step: Step, commands: str, shell: Shell) -> None:
    until = time.monotonic() + WAIT_S
    while True:
        code, output = shell.run(commands)
        accepted = step.accepts(code, output)
        if accepted or not step.repeatable or time.monotonic() > until:
            break
        time.sleep(0.5)
    wanted = f"exit code {step.exit_code} and:\n{step.expected}"
    assert accepted, f"{commands}ended with exit code {code} and:\n{output}\nThe page says {wanted}"

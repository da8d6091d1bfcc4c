"""The manual against the code: columns, reasons of dead letters, options, links, and command lines."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from kind_call_graph import code_of, options, reasons

from eventwriter.cli.ctl.main import cli as ctl
from eventwriter.cli.main import cli
from eventwriter.config.settings import StreamSettings
from eventwriter.kinds.registry import KINDS
from eventwriter.tables.table import Table

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
OF_ALL_KINDS = {"rejected", "no_table", "crash_loop"}
"""Reasons that no kind's own code gives."""


def page(kind: str) -> str:
    return (DOCS / "kinds" / f"{kind}.md").read_text()


def tables_in(text: str) -> Iterator[list[list[str]]]:
    """Yield each Markdown table: its rows of cells, the head first."""
    rows: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split(" | ")])
        elif rows:
            yield rows
            rows = []


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def columns_in(text: str) -> list[list[str]]:
    """Return the first column's names of each table whose head says that it lists columns."""
    return [[words(row[0])[0] for row in rows[2:]] for rows in tables_in(text) if rows[0][0] == "column"]


def definitions(kind: str) -> list[Table]:
    return [t for one in (*KINDS[kind].tables, *KINDS[kind].also) for t in (one, *one.variants.values())]


def section(text: str, title: str) -> str:
    return re.split(r"^## ", text.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def reasons_in(text: str) -> set[str]:
    return {word for rows in tables_in(section(text, "Dead letters")) for row in rows[2:] for word in words(row[0])}


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_is_in_the_page(kind: str) -> None:
    """Each table that a kind fills has its columns listed in order, and no others; flat ones on their own page."""
    documented = columns_in(page(kind))
    elsewhere = columns_in((DOCS / "flat_tables.md").read_text()) if "../flat_tables.md" in page(kind) else []
    wanted = [[column.name for column in table.columns] for table in definitions(kind)]

    assert [] == [names for names in wanted if names not in [*documented, *elsewhere]]
    assert [] == [names for names in documented if names not in wanted]


def test_every_flat_column_is_in_the_page() -> None:
    """The page of flat tables lists those that are chosen by a column, and no others."""
    flat = [
        table for kind in KINDS for table in definitions(kind) if table not in (*KINDS[kind].tables, *KINDS[kind].also)
    ]
    wanted = [[column.name for column in table.columns] for table in flat]

    assert [names for names in columns_in((DOCS / "flat_tables.md").read_text()) if names in wanted]
    assert [] == [names for names in columns_in((DOCS / "flat_tables.md").read_text()) if names not in wanted]


@pytest.mark.parametrize("kind", KINDS)
def test_every_reason_is_in_the_page(kind: str) -> None:
    """Each reason for which a kind makes a dead letter is explained, and none that it never gives."""
    of_code = reasons(code_of(KINDS[kind]))

    assert "malformed" in of_code
    assert of_code <= reasons_in(page(kind))
    assert reasons_in(page(kind)) <= of_code | OF_ALL_KINDS


def test_reasons_of_all_kinds_are_in_the_index() -> None:
    """What makes a dead letter whatever the kind is explained once, beside the list of kinds."""
    index = (DOCS / "kinds" / "README.md").read_text()

    assert OF_ALL_KINDS <= {word for rows in tables_in(index) for row in rows for word in words(row[0])}


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_in_the_page(kind: str) -> None:
    """Each key of a stream's entry that a kind's code reads is named, and so is what is true of secrets."""
    found = options(code_of(KINDS[kind]))

    assert [] == [key for key in found if f"`{key}`" not in page(kind)]
    assert "redact" in page(kind)


def test_every_option_is_read_by_some_kind() -> None:
    """What the configuration hands to row builders is read by one, so that its page names it."""
    entry = {
        "name": "X",
        "stream_name": "s",
        "kind": "json",
        "subjects": ["x"],
        "keep_raw": True,
        "map": {"a": "b"},
        "rest": "c",
    }
    read = set.union(*(options(code_of(kind)) for kind in KINDS.values()))

    assert set(StreamSettings.model_validate(entry).options) == read


def test_index_links_every_kind() -> None:
    """The index has a row for each kind, with a link to its page and the tables that it fills."""
    [rows] = [rows for rows in tables_in((DOCS / "kinds" / "README.md").read_text()) if rows[0][0] == "kind"]

    assert {f"[{kind}]({kind}.md)" for kind in KINDS} == {row[0] for row in rows[2:]}
    assert {kind: {t.name for t in (*KINDS[kind].tables, *KINDS[kind].also)} for kind in KINDS} == {
        re.sub(r"\[(.*)\].*", r"\1", row[0]): set(words(row[2])) for row in rows[2:]
    }


def test_readme_lists_every_kind() -> None:
    """README's table of kinds has a row for each."""
    [rows] = [rows for rows in tables_in((ROOT / "README.md").read_text()) if rows[0][0] == "kind"]

    assert set(KINDS) <= {found[0] for row in rows[2:] if (found := re.findall(r"\w+", row[0]))}


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Each link to a file or a heading of ours finds it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", without_code(there.read_text()), flags=re.MULTILINE)
            assert anchor in map(slug, headings), target


SHELL_WORDS = {"|", ">", ">>", "2>", "2>>", "<", "&", "&&", "||", ";"}
COMMANDS = {"eventwriter": cli, "eventwriter-ctl": ctl, "bin/eventwriter": cli, "bin/eventwriter-ctl": ctl}


def command_lines(text: str) -> Iterator[str]:
    """Yield the command lines in code blocks, in inline code, and in sentences that quote them."""
    start = r"(?:[A-Z_]+=\S+ )*(?:bin/)?eventwriter(?:-ctl)? "
    for language, block in re.findall(r"^```([a-z]*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        if language == "text":  # the output of the block before it
            continue
        # Where a block shows a session, what has no prompt is output.
        prompt = r"\$ " if re.search(r"^\$ ", block, flags=re.MULTILINE) else ""
        yield from re.findall(rf"^{prompt}({start}[^\n]*)", block, flags=re.MULTILINE)
        yield from (
            f"bin/eventwriter demo {rest}" for rest in re.findall(r"^bin/demo ?(.*)", block, flags=re.MULTILINE)
        )
    yield from re.findall(rf"`({start}[^`\n]*)`", without_code(text))
    yield from re.findall(r'"(eventwriter(?:-ctl)? [^"\n]*)"', text)


def mistake(line: str) -> str | None:
    """Return what is wrong with a command line; None where its subcommands and options exist."""
    given = [
        word for word in shlex.split(line.partition("  #")[0].partition(" # ")[0]) if "=" not in word or word[0] == "-"
    ]
    if ends := [at for at, word in enumerate(given) if word in SHELL_WORDS]:
        given = given[: ends[0]]
    command: click.Command = COMMANDS[given.pop(0)]
    context = click.Context(command)
    while given:
        word = given.pop(0)
        if word.startswith("-") and word != "-":
            name = word.partition("=")[0]
            option = next((p for p in command.get_params(context) if name in (*p.opts, *p.secondary_opts)), None)
            if option is None:
                return f"{command.name} has no option {name}"
            if isinstance(option, click.Option) and not (option.is_flag or option.count or "=" in word) and given:
                given.pop(0)
        elif isinstance(command, click.Group):
            found = command.get_command(context, word)
            if found is None:
                return f"{command.name} has no command {word}"
            command, context = found, click.Context(found)
        elif not any(isinstance(p, click.Argument) for p in command.params):
            return f"{command.name} takes no argument {word}"
    return None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_command_lines_exist(path: Path) -> None:
    """Each command line in the manual has subcommands and options that there are."""
    found = {line: wrong for line in command_lines(path.read_text()) if (wrong := mistake(line))}

    assert {} == found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("eventwriter config validate eventwriter.toml", None),
        ("EVENT_WRITER_ENABLED=true eventwriter --config a.toml run   # comment", None),
        ("eventwriter-ctl status --watch 5 --json", None),
        ("eventwriter config validat", "config has no command validat"),
        ("eventwriter migrate --dryrun", "migrate has no option --dryrun"),
        ("eventwriter run NETFLOW/0", "run takes no argument NETFLOW/0"),
    ],
)
def test_wrong_command_line_is_found(line: str, expected: str | None) -> None:
    """A command line that does not exist is documented."""
    assert expected == mistake(line)


def test_command_lines_are_found() -> None:
    """Command lines are found in blocks, in inline code, and in what the program says."""
    blocks = "```\neventwriter run\nbin/demo --chaos\n```\n```\n$ eventwriter-ctl ping\neventwriter answers\n```\n"
    text = blocks + '`eventwriter migrate`; run "eventwriter config show"\n'

    assert [
        "eventwriter run", "bin/eventwriter demo --chaos", "eventwriter-ctl ping", "eventwriter migrate",
        "eventwriter config show",
    ] == list(command_lines(text))  # fmt: skip


def test_commands_page_is_the_commands_own_help() -> None:
    """docs/commands.md is what `bin/manual` writes; in a process of its own, as click caches options of commands."""
    written = subprocess.run(
        [sys.executable, str(ROOT / "bin" / "_commands.py")], capture_output=True, text=True, check=True
    )

    assert written.stdout == (DOCS / "commands.md").read_text(), "run bin/manual"

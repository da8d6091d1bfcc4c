"""What `setup.cfg` says about the package is true of it."""

import ast
import configparser
import importlib.metadata
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "eventwriter"


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    """The packaging's configuration."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def entries(text: str) -> list[str]:
    """Return the lines of a list, without comments."""
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def distributions(text: str) -> set[str]:
    """Return the names of the packages that a list of requirements names, in their normal form."""
    names = (re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0] for line in entries(text))
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def test_data_files_are_installed(config: configparser.ConfigParser) -> None:
    """Each file of the package that is no Python is named by a pattern, so that the wheel has it."""
    patterns = {name: entries(text) for name, text in config["options.package_data"].items()}
    data = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]

    forgotten = [
        path.relative_to(ROOT).as_posix()
        for path in data
        if not any(fnmatch(path.name, one) for one in patterns.get(".".join(path.parent.relative_to(ROOT).parts), []))
    ]

    assert data
    assert [] == forgotten


def test_every_folder_is_a_package() -> None:
    """Each folder with Python in it has an `__init__.py`, without which it is not installed."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}

    assert [] == [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()]


def test_what_is_imported_is_required(config: configparser.ConfigParser) -> None:
    """Each package that the code imports is among the requirements, so that it runs without any extra."""
    required = distributions(config["options"]["install_requires"])
    homes = importlib.metadata.packages_distributions()
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module)
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    tops = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - {"eventwriter"}
    # What a requirement brings along counts as required: nkeys with nats-py[nkeys], pydantic_core with pydantic.
    brought = {"nkeys", "pydantic_core"}

    unnamed = {
        top for top in tops - brought if not {re.sub(r"[-_.]+", "-", h).lower() for h in homes.get(top, [])} & required
    }

    assert set() == unnamed


def test_commands_are_there(config: configparser.ConfigParser) -> None:
    """Each command's function can be loaded."""
    commands = [line.partition("=") for line in entries(config["options.entry_points"]["console_scripts"])]

    for name, _, target in commands:
        point = importlib.metadata.EntryPoint(name.strip(), target.strip(), "console_scripts")
        assert callable(point.load())
    assert {"eventwriter", "eventwriter-ctl"} <= {name.strip() for name, _, _ in commands}

"""Kinds of installed packages: the documented example works, and the error of a broken one names its cause."""

import importlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fix_pipeline import Bench, MakeBench

from eventwriter.config.load import load
from eventwriter.errors import ConfigError, Fatal
from eventwriter.kinds import names, registry

DOCUMENT = Path(__file__).parents[2] / "docs" / "custom-kinds.md"
Install = Callable[..., None]


def code_blocks(language: str) -> list[str]:
    """Return the code blocks of a language in the document."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that adds a distribution to sys.path: a module and its entry points."""
    modules = []

    def make(module: str, source: str, points: dict[str, str], package: str = "eventwriter-doors") -> None:
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{names.ENTRY_POINT_GROUP}]", *lines, ""]))
        modules.append(module)
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield make
    for module in modules:
        sys.modules.pop(module, None)


def install_example(install: Install) -> None:
    (source,), (project,) = code_blocks("python"), code_blocks("toml")
    install("eventwriter_doors", source, tomllib.loads(project)["project"]["entry-points"][names.ENTRY_POINT_GROUP])


async def test_documented_kind_writes_rows(bench: MakeBench, install: Install) -> None:
    """The documented example, installed as a package, fills its table."""
    install_example(install)
    (ddl,) = code_blocks("sql")
    one: Bench = bench(ddl, kind="doors", tables=())

    settled = await one.settle(
        b"door-7;2026-01-01T08:00:00Z;badge 4711", b"door-7;2026-01-01T08:00:00Z;badge 4711", b"door-8;;", b"nonsense"
    )

    assert [
        ("2026-01-01 00:00:02+00", "door-8", None),
        ("2026-01-01 08:00:00+00", "door-7", "badge 4711"),
    ] == one.read("SELECT time::text, door, badge FROM door_openings ORDER BY time")
    assert [(4, "malformed", None)] == one.dead_letters()
    assert (1, 1) == (settled.duplicates, one.adjustments.timestamp_defaulted)


def test_documented_entry_is_valid_once_installed(tmp_path: Path, install: Install) -> None:
    """The stream entry of the example is valid once its package is installed, and invalid before."""
    (entry,) = code_blocks("json")
    file = tmp_path / "eventwriter.json"
    file.write_text(f'{{"streams": [{entry}]}}')
    with pytest.raises(ConfigError, match="not a known kind; known kinds are telemetry"):
        load(str(file), {})

    install_example(install)

    assert ["doors"] == [stream.kind for stream in load(str(file), {}).settings.streams]


async def test_exception_in_a_kind_is_a_dead_letter(bench: MakeBench, install: Install) -> None:
    """An exception in a kind's code becomes a dead letter with its name, and other messages are written."""
    (source,) = code_blocks("python")
    broken = source.replace('record["badge"] or None', 'record["badge"].nope if record["badge"] == "x" else None')
    broken = broken.replace("    try:\n", "    assert message.payload != b'y'\n    try:\n")
    install("eventwriter_doors", broken, {"doors": "eventwriter_doors:DOORS"})
    (ddl,) = code_blocks("sql")
    one: Bench = bench(ddl, kind="doors", tables=())

    await one.settle(b"a;;x", b"y", b"c;;")

    assert [
        ("bad_value", "the row builder of table door_openings of kind doors raised AttributeError:"
         " 'str' object has no attribute 'nope'"),
        ("malformed", "the decoder of kind doors raised AssertionError: "),
    ] == one.read("SELECT reason, detail FROM eventwriter_dead_letters ORDER BY stream_seq")  # fmt: skip
    assert [("c",)] == one.read("SELECT door FROM door_openings")


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        pytest.param("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'", id="import"),
        pytest.param("DOORS = 1 / 0", "ZeroDivisionError: division by zero", id="exception"),
        pytest.param("DOORS = (", "SyntaxError: '(' was never closed", id="syntax"),
        pytest.param("", "AttributeError: module 'eventwriter_doors' has no attribute 'DOORS'", id="missing"),
        pytest.param("DOORS = 'Kind'", "str", id="other type"),
        pytest.param(
            "from eventwriter.kinds.registry import Kind\nDOORS = Kind('gates', list, ())", "'gates'", id="other name"
        ),
    ],
)
def test_broken_kind_is_fatal(install: Install, source: str, cause: str) -> None:
    """The error for an unusable kind names the package and the cause."""
    install("eventwriter_doors", source, {"doors": "eventwriter_doors:DOORS"})

    with pytest.raises(Fatal) as caught:
        registry.kind("doors")

    assert "invalid_kind" == caught.value.code
    assert "kind 'doors' of package eventwriter-doors (eventwriter_doors:DOORS)" in caught.value.message
    assert cause in caught.value.message


def test_kind_of_two_packages_is_fatal(install: Install) -> None:
    """A kind that two packages provide is an error."""
    install("eventwriter_doors", "", {"doors": "eventwriter_doors:DOORS"})
    install("other_doors", "", {"doors": "other_doors:DOORS"}, package="other-doors")

    with pytest.raises(Fatal) as caught:
        registry.kind("doors")

    assert "invalid_kind" == caught.value.code


def test_package_cannot_replace_a_built_in_kind(install: Install) -> None:
    """A package whose kind has the name of a built-in kind changes nothing."""
    install("eventwriter_doors", "raise SystemError", {"telemetry": "eventwriter_doors:DOORS"})

    assert registry.KINDS["telemetry"] is registry.kind("telemetry")

"""The command `eventwriter explain`, on payloads in files."""

import json
from pathlib import Path

import pytest

from eventwriter.cli.main import cli, run_command


def explain(*arguments: str) -> int:
    return run_command(cli, ["explain", *arguments], "eventwriter")


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no configuration of the machine's own in the way."""
    for name in ("EVENT_WRITER_CONFIG", "CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sample(tmp_path: Path) -> str:
    path = tmp_path / "sample.json"
    path.write_text('{"name":"cpu","value":1}')
    return str(path)


def test_kind_or_subject_says_what_it_is(sample: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A kind, or a subject of the configuration, is enough."""
    assert 0 == explain(sample, "--kind", "telemetry")
    by_kind = capsys.readouterr().out.splitlines()
    assert 0 == explain(sample, "--subject", "telemetry.x")
    by_subject = capsys.readouterr().out.splitlines()

    assert by_kind[0] == by_subject[0] == "payload: JSON object, a flat record, 1 record; keys name, value"


def test_dead_letter_exits_with_one(sample: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A payload that becomes a dead letter exits with 1, so that scripts can tell."""
    assert 1 == explain(sample, "--kind", "netflow", "--json")
    assert "missing_field" == json.loads(capsys.readouterr().out)["dead_letter"]["reason"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "give either a FILE (or -), or both --stream and --seq"),
        (("--stream", "events"), "give either a FILE (or -), or both --stream and --seq"),
        (("/nowhere/x.json", "--kind", "telemetry"), "/nowhere/x.json cannot be read: No such file or directory"),
        (("{sample}",), "no stream entry matches the payload; give --kind, or a --subject of one of: TELEMETRY"),
        (("{sample}", "--kind", "json"), 'kind json has no default table; set "table" or "tables"'),
        (("{sample}", "--subject", "x.y"), "no stream entry matches subject 'x.y'"),
        (("{sample}", "--kind", "nope"), "kind 'nope' does not exist in this version of eventwriter"),
        (("{sample}", "--kind", "telemetry", "--table", "logs"), "kind telemetry cannot write table logs"),
    ],
)
def test_mistake_is_one_sentence(
    sample: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    """A mistake of the caller's is a sentence and exit code 2."""
    assert 2 == explain(*(argument.replace("{sample}", sample) for argument in arguments))
    assert sentence in capsys.readouterr().err

"""Commands with a malformed credential in the configuration: no output contains it."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from fix_run import command

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "postgres": {"postgres": {"dsn": "postgresql://u:a@SECRET@127.0.0.1:1/db"}},
    "database": {"postgres": {"host": "127.0.0.1", "database": "host=127.0.0.1 password=SECRET"}},
    "nats": {"nats": {"servers": "nats://u:SECRET/x@127.0.0.1:1"}},
    "nats without slashes": {"nats": {"servers": "nats:/u:SECRET@127.0.0.1:1"}},
}


@pytest.fixture(params=CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a command that uses a malformed configuration."""
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"enabled": True, "control": {"socket": str(tmp_path / "s")}, **request.param}))
    return {"EVENT_WRITER_CONFIG": str(path)}


@pytest.mark.parametrize("arguments", [("config", "show"), ("config", "validate"), ("doctor",), ("run",)], ids=" ".join)
def test_command_fails_without_printing_the_credential(environ: dict[str, str], arguments: tuple[str, ...]) -> None:
    """A command exits with an error that contains neither the credential nor a traceback."""
    done = command("eventwriter", *arguments, environ=environ)

    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "SECRET" not in output
    assert "Traceback" not in output


def test_support_dump_does_not_contain_the_credential(environ: dict[str, str], tmp_path: Path) -> None:
    """The support bundle is written, and contains neither the credential nor a traceback."""
    bundle = tmp_path / "bundle.tar.gz"

    done = command("eventwriter-ctl", "support-dump", str(bundle), environ=environ)

    content = gzip.decompress(bundle.read_bytes()).decode(errors="replace") + done.stdout + done.stderr
    assert "SECRET" not in content
    assert "Traceback" not in content

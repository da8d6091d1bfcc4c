"""What the web child needs is nobody else's."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("others", ["eventwriter.cli.run, eventwriter.supervisor.main", "eventwriter.cli.ctl.main"])
def test_libraries_of_the_web_child_are_not_loaded_with(others: str) -> None:
    """The parent, and an operator's command, have no web server in them."""
    # A worker may have aiohttp: nats-py loads it for WebSockets where it finds it.
    code = f"import sys, {others}; print([m for m in ('aiohttp', 'prometheus_client') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()

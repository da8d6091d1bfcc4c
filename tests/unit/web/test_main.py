"""The libraries of the web child, and its errors."""

import errno
import socket
import subprocess
import sys

import pytest

from eventwriter.web.main import listen_error


@pytest.mark.parametrize("others", ["eventwriter.cli.run, eventwriter.supervisor.main", "eventwriter.cli.ctl.main"])
def test_other_processes_do_not_load_the_web_libraries(others: str) -> None:
    """The supervisor and `eventwriter-ctl` import neither the web server nor the Prometheus client."""
    # Workers are not tested: nats-py imports aiohttp for WebSockets if it is installed.
    code = f"import sys, {others}; print([m for m in ('aiohttp', 'prometheus_client') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.EADDRINUSE, "in use"), "address_in_use"),
        (OSError(errno.EACCES, "denied"), "port_not_permitted"),
        (OSError(errno.EINVAL, "other"), "listen_failed"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "unknown_host"),
    ],
)
def test_listen_error_has_code_and_hint(error: OSError, code: str) -> None:
    """Each reason why an address cannot be listened on has its code and a hint."""
    mapped = listen_error("127.0.0.1:80", error)

    assert (code, True) == (mapped.code, bool(mapped.hint))

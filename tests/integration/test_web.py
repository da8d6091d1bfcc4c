"""The web child of a real daemon: what it answers, to whom, and what happens when it cannot."""

import json
import os
import re
import signal
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest
import trustme
from fix_daemon import Daemon
from fix_web import Site, until

from eventwriter.web.app import READERS_MAX
from eventwriter.web.connections import CONNECTIONS_MAX

TOKEN = "0123456789abcdef0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATHS = ("/", "/api/health", "/api/status", "/api/events", "/metrics")


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """The token's file."""
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


async def test_endpoints_tell_of_messages_that_were_written(daemon: Daemon, site: Site) -> None:
    """Health, snapshot, metrics and events all have what the daemon has written, and every answer its headers."""
    site.run.config, site.run.socket = daemon.config, daemon.socket
    site.config = json.loads(daemon.config.read_text())
    site.write()
    daemon.start()
    site.served()
    await daemon.publish(500, garbage_every=100)

    until(lambda: site.get("/api/status").json["totals"]["dead_letters_total"] == 5, daemon.log)
    until(lambda: site.get("/api/status").json["totals"]["messages_total"] == 500, daemon.log)
    health = site.get("/api/health")
    metrics = site.get("/metrics")

    assert (200, "healthy", "TELEMETRY/0") == (health.status, health.json["status"], health.json["slots"][0]["name"])
    text = metrics.body.decode()
    assert 'eventwriter_messages_total{partition="0",stream="TELEMETRY"} 500.0' in text
    assert 'eventwriter_dead_letters_total{partition="0",reason="malformed",stream="TELEMETRY"} 5.0' in text
    assert 'eventwriter_latency_seconds_count{partition="0",stream="TELEMETRY"} 500.0' in text
    assert re.search(r'eventwriter_stage_seconds_sum\{[^}]*stage="copy"[^}]*\} 0\.0*[1-9]', text)
    assert "text/plain" in metrics.headers["Content-Type"]
    for path in ("/", "/metrics", "/nowhere", "/static/main.js"):
        assert "default-src 'none'" in site.get(path).headers["Content-Security-Policy"]
    assert 404 == site.get("/static/index.html").status == site.get("/nowhere").status
    assert 0 == daemon.stop()


@pytest.mark.parametrize("path", PATHS)
def test_token_is_needed_for_everything(site: Site, token: Path, path: str) -> None:
    """Without the token or with another nothing is read; with it everything, and a browser is led to the login."""
    site.start(token_file=str(token)).served()

    assert 401 == site.get(path).status == site.get(path, Authorization="Bearer other-token-other").status
    assert "Bearer" in site.get(path).headers["WWW-Authenticate"]
    assert (303, "/login") == ((led := site.get(path, Accept="text/html")).status, led.headers["Location"])
    if path != "/api/events":
        assert 401 != site.get(path, **BEARER).status


def test_login_gives_a_cookie_that_outlives_the_daemon(site: Site, token: Path) -> None:
    """The login page takes the token and nothing else; its cookie opens, also after a restart, until the log-out."""
    site.start(token_file=str(token)).served()
    form = {"Content_Type": "application/x-www-form-urlencoded"}

    page = site.get("/login")
    wrong = site.get("/login", "POST", urlencode({"token": "not-this-one-not-this"}), **form)
    right = site.get("/login", "POST", urlencode({"token": TOKEN}), **form)
    cookie = right.headers["Set-Cookie"]

    assert (200, b'id="wrong" hidden' in page.body) == (page.status, True)
    assert (403, b'id="wrong" hidden' in wrong.body, "Set-Cookie" in wrong.headers) == (wrong.status, False, False)
    assert (303, "/") == (right.status, right.headers["Location"])
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"))
    assert TOKEN not in cookie
    assert 200 == site.get("/", Cookie=cookie.partition(";")[0]).status
    assert 0 == site.run.stop()
    site.run.start()
    site.served()
    assert 200 == site.get("/", Cookie=cookie.partition(";")[0]).status
    assert "Max-Age=0" in site.get("/logout", "POST", Cookie=cookie.partition(";")[0]).headers["Set-Cookie"]


def test_token_that_is_replaced_takes_effect(site: Site, token: Path) -> None:
    """A rotated token is read within seconds; the old one opens nothing any more, an open dashboard included."""
    site.start(token_file=str(token)).served()
    open_page = socket.create_connection(("127.0.0.1", site.port), timeout=10)
    open_page.sendall(f"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert open_page.recv(100).startswith(b"HTTP/1.1 200")

    token.write_text("another-token-another-token\n")

    until(lambda: site.get("/api/status", **BEARER).status == 401, site.run.log)
    assert 401 != site.get("/api/status", Authorization="Bearer another-token-another-token").status
    with open_page:
        until(lambda: not open_page.recv(100_000), site.run.log)


def test_token_that_cannot_be_read_is_said_and_looked_for_again(site: Site, tmp_path: Path) -> None:
    """Without its token the web child serves nothing, says why in log and status, and begins when the file is there."""
    path = tmp_path / "later"
    site.start(token_file=str(path))

    web = site.until_web(lambda found: "token_file" in (found["reason"] or ""))
    assert f"http.token_file: cannot read {path}: [Errno 2]" in web["reason"]
    assert f"http.token_file: cannot read {path}" in site.run.log()
    with pytest.raises(ConnectionRefusedError):
        site.get("/login")

    path.write_text(TOKEN)
    site.until_web(lambda found: found["listening"])
    assert 200 == site.get("/", **BEARER).status


def test_other_host_names_are_refused_without_a_token(site: Site) -> None:
    """A page elsewhere that makes a browser ask this machine under another name reads nothing."""
    site.start().served()

    assert (200, 403) == (site.get("/").status, site.get("/", Host="evil.example").status)


def test_tls_serves_the_certificate_and_a_renewed_one(site: Site, token: Path, tmp_path: Path) -> None:
    """With a certificate it is HTTPS only; a renewed certificate is served without a restart."""
    authority = trustme.CA()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def issue() -> bytes:
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(str(cert))
        issued.private_key_pem.write_to_path(str(key))
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    def served() -> bytes:
        assert site.tls is not None
        with (
            socket.create_connection(("127.0.0.1", site.port), 10) as raw,
            site.tls.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped,
        ):
            return wrapped.getpeercert(binary_form=True) or b""

    first = issue()
    site.tls = ssl.create_default_context()
    authority.configure_trust(site.tls)
    site.start(token_file=str(token), cert_file=str(cert), key_file=str(key)).served()

    assert f"https://127.0.0.1:{site.port}/" == site.web()["url"]
    assert 200 == site.get("/", **BEARER).status
    login = site.get("/login", "POST", f"token={TOKEN}", Content_Type="application/x-www-form-urlencoded")
    assert "Secure" in login.headers["Set-Cookie"]
    assert first == served()
    with socket.create_connection(("127.0.0.1", site.port), 10) as plain:
        plain.sendall(b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in plain.recv(100)

    second = issue()
    until(lambda: served() == second, site.run.log)


def test_certificate_that_cannot_be_used_is_named(site: Site, tmp_path: Path) -> None:
    """A certificate without its key is one sentence that names both files."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority = trustme.CA()
    authority.issue_cert("a").cert_chain_pems[0].write_to_path(str(cert))
    authority.issue_cert("b").private_key_pem.write_to_path(str(key))
    site.start(cert_file=str(cert), key_file=str(key))

    reason = site.until_web(lambda found: "cert_file" in (found["reason"] or ""))["reason"]

    assert f"http.cert_file: {cert} and its key {key} cannot be used: KEY_VALUES_MISMATCH" in reason


def test_port_in_use_is_said_once_and_tried_again(site: Site) -> None:
    """Another program's port is one sentence in log and status; the workers run on; freed, it is served."""
    with socket.create_server(("127.0.0.1", site.port)):
        site.start()
        web = site.until_web(lambda found: "another program" in (found["reason"] or ""))
        time.sleep(2.5)  # more than one try
        worker = site.run.until(lambda found: found["slots"][0]["pid"], "a worker")["slots"][0]

    sentence = f"http.listen 127.0.0.1:{site.port}: another program listens there: end it, or choose another port"
    assert (sentence, 0) == (web["reason"], site.web()["restarts"])
    assert 1 == site.run.log().count(sentence)
    site.served()
    assert worker["pid"] == site.run.slot(site.run.status() or {}, "TELEMETRY")["pid"]


def test_killed_web_child_comes_back_and_nobody_else_notices(site: Site) -> None:
    """After SIGKILL another one serves; the workers are the same, and the daemon's health is not its business."""
    site.start().served()
    before = site.run.until(lambda found: found["status"] == "degraded", "degraded, for want of servers")

    os.kill(site.web()["pid"], signal.SIGKILL)
    web = site.until_web(lambda found: found["restarts"] == 1 and found["listening"])

    assert 200 == site.get("/").status
    after = site.run.status() or {}
    assert (before["slots"][0]["pid"], before["status"]) == (after["slots"][0]["pid"], after["status"])
    assert web["last_exit"] == "killed by SIGKILL; the kernel's out-of-memory killer is the usual cause"


def test_hung_web_child_is_replaced(site: Site) -> None:
    """A web child that stands still is killed like a worker that does, and another one serves."""
    site.config["supervisor"] = {"heartbeat": 0.2, "hang_max": 1, "backoff_min": 0.05}
    site.start().served()

    os.kill(site.web()["pid"], signal.SIGSTOP)

    site.until_web(lambda found: found["restarts"] == 1 and found["listening"])
    assert 200 == site.get("/").status


def test_daemon_stops_in_order_while_it_is_watched(site: Site) -> None:
    """A stop ends the web child last and soon, with dashboards open, and the exit code is clean."""
    site.start().served()
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as page:
        page.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert page.recv(100).startswith(b"HTTP/1.1 200")
        began_s = time.monotonic()
        assert 0 == site.run.stop()

    assert time.monotonic() - began_s < 10
    steps = re.findall(
        "worker is told to drain|worker exited|web child is told to drain|web child exited", site.run.log()
    )
    assert ["worker is told to drain", "worker exited", "web child is told to drain", "web child exited"] == steps


def test_reload_turns_the_web_child_on_and_off(site: Site) -> None:
    """Only the web child comes and goes with its settings: no worker is replaced."""
    site.write(listen=None)
    site.run.start()
    before = site.run.until(lambda found: found["slots"][0]["pid"], "a worker")
    assert before["web"] is None

    site.write()
    site.run.ctl("reload")
    site.served()
    site.write(listen=None)
    site.run.ctl("reload")
    after = site.run.until(lambda found: found["web"] is None, "the end of the web child")

    assert before["slots"][0]["pid"] == after["slots"][0]["pid"]
    with pytest.raises(ConnectionRefusedError):
        site.get("/")


def test_slow_readers_cost_a_bounded_amount(site: Site) -> None:
    """Two hundred readers that ask and never read take a bounded memory, and do not keep others out."""
    site.start().served()
    until(lambda: site.get("/metrics").status == 200, site.run.log)
    process = psutil.Process(site.web()["pid"])
    before = process.memory_info().rss
    question = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    readers = []
    for number in range(200):
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", site.port))
        reader.setblocking(False)
        try:
            reader.send(question if number % 2 else question.replace(b"/metrics", b"/api/events", 1))
        except BlockingIOError:
            pass
        readers.append(reader)
    time.sleep(5.0)

    assert {200} == {site.get(path).status for path in ("/", "/metrics", "/api/health", "/api/status")} - {503}
    assert site.web()["clients"] <= READERS_MAX
    assert site.web()["open_fds"] < CONNECTIONS_MAX + 30
    assert process.memory_info().rss - before < 40 * 2**20
    for reader in readers:
        reader.close()

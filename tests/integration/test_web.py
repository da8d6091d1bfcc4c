"""The web child of a real daemon: its responses, access, and behaviour when it cannot serve."""

import json
import os
import re
import signal
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest
import trustme
from fix_daemon import Daemon
from fix_web import WebDaemon, until

from eventwriter.web.app import CLIENTS_MAX
from eventwriter.web.connections import CONNECTIONS_MAX

TOKEN = "0123456789abcdef0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATHS = ("/", "/api/health", "/api/status", "/api/events", "/metrics")


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A token file."""
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


async def test_endpoints_report_written_messages(daemon: Daemon, web_daemon: WebDaemon) -> None:
    """Health, snapshot and metrics report what the daemon has written, and every response has the security headers."""
    web_daemon.run.config, web_daemon.run.socket = daemon.config, daemon.socket
    web_daemon.config = json.loads(daemon.config.read_text())
    web_daemon.write()
    daemon.start()
    web_daemon.wait_until_served()
    await daemon.publish(500, garbage_every=100)

    until(lambda: web_daemon.get("/api/status").json["totals"]["dead_letters_total"] == 5, daemon.log)
    until(lambda: web_daemon.get("/api/status").json["totals"]["messages_total"] == 500, daemon.log)
    health = web_daemon.get("/api/health")
    metrics = web_daemon.get("/metrics")

    assert (200, "healthy", "TELEMETRY/0") == (health.status, health.json["status"], health.json["slots"][0]["name"])
    text = metrics.body.decode()
    assert 'eventwriter_messages_total{partition="0",stream="TELEMETRY"} 500.0' in text
    assert 'eventwriter_dead_letters_total{partition="0",reason="malformed",stream="TELEMETRY"} 5.0' in text
    assert 'eventwriter_latency_seconds_count{partition="0",stream="TELEMETRY"} 500.0' in text
    assert re.search(r'eventwriter_stage_seconds_sum\{[^}]*stage="copy"[^}]*\} 0\.0*[1-9]', text)
    assert "text/plain" in metrics.headers["Content-Type"]
    for path in ("/", "/metrics", "/nowhere", "/static/main.js"):
        assert "default-src 'none'" in web_daemon.get(path).headers["Content-Security-Policy"]
    assert 404 == web_daemon.get("/static/index.html").status == web_daemon.get("/nowhere").status
    assert 0 == daemon.stop()


@pytest.mark.parametrize("path", PATHS)
def test_every_path_needs_the_token(web_daemon: WebDaemon, token: Path, path: str) -> None:
    """Requests without the right token get 401; a browser is redirected to the login page."""
    web_daemon.start(token_file=str(token)).wait_until_served()

    assert 401 == web_daemon.get(path).status == web_daemon.get(path, Authorization="Bearer other-token-other").status
    assert "Bearer" in web_daemon.get(path).headers["WWW-Authenticate"]
    assert (303, "/login") == ((led := web_daemon.get(path, Accept="text/html")).status, led.headers["Location"])
    if path != "/api/events":
        assert 401 != web_daemon.get(path, **BEARER).status


def test_login_issues_a_cookie_that_survives_a_restart(web_daemon: WebDaemon, token: Path) -> None:
    """The login page issues a cookie for the right token only; the cookie stays valid after a restart of the daemon."""
    web_daemon.start(token_file=str(token)).wait_until_served()
    form = {"Content_Type": "application/x-www-form-urlencoded"}

    page = web_daemon.get("/login")
    wrong = web_daemon.get("/login", "POST", urlencode({"token": "not-this-one-not-this"}), **form)
    right = web_daemon.get("/login", "POST", urlencode({"token": TOKEN}), **form)
    cookie = right.headers["Set-Cookie"]

    assert (200, b'id="wrong" hidden' in page.body) == (page.status, True)
    assert (403, b'id="wrong" hidden' in wrong.body, "Set-Cookie" in wrong.headers) == (wrong.status, False, False)
    assert (303, "/") == (right.status, right.headers["Location"])
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"))
    assert TOKEN not in cookie
    assert 200 == web_daemon.get("/", Cookie=cookie.partition(";")[0]).status
    assert 0 == web_daemon.run.stop()
    web_daemon.run.start()
    web_daemon.wait_until_served()
    assert 200 == web_daemon.get("/", Cookie=cookie.partition(";")[0]).status
    assert "Max-Age=0" in web_daemon.get("/logout", "POST", Cookie=cookie.partition(";")[0]).headers["Set-Cookie"]


def test_hostile_requests_before_the_login_are_refused(web_daemon: WebDaemon, token: Path) -> None:
    """Bytes that are not UTF-8, unknown charsets, other form types and requests of other sites get a 4xx, and wrong
    tokens do not keep out the right one."""
    web_daemon.start(token_file=str(token)).wait_until_served()
    form = "application/x-www-form-urlencoded"

    def post(body: str, **headers: str) -> int:
        return int(web_daemon.get("/login", "POST", body, **headers).status)

    with ThreadPoolExecutor(40) as pool:
        wrong = [pool.submit(post, "token=wrong-wrong-wrong-wr", Content_Type=form) for _ in range(40)]
        right = pool.submit(post, urlencode({"token": TOKEN}), Content_Type=form)
        assert 303 == right.result()
        assert {403, 429} >= {answer.result() for answer in wrong}
    assert 401 == web_daemon.get("/api/status", Authorization="Bearer \xff\xfe\xff").status
    assert 401 == web_daemon.get("/api/status", Cookie=f"eventwriter_{web_daemon.port}=1.\xff\xfe").status
    assert 403 == post("token=%ff%fe", Content_Type=form + "; charset=unknown")
    assert 415 == post("token=x", Content_Type="multipart/form-data")
    assert 403 == post(urlencode({"token": TOKEN}), Content_Type=form, Origin="https://evil.example")
    assert 303 == post(urlencode({"token": TOKEN}), Content_Type=form, Origin=f"http://127.0.0.1:{web_daemon.port}")
    assert "Traceback" not in web_daemon.run.log()


def test_replaced_token_takes_effect(web_daemon: WebDaemon, token: Path) -> None:
    """A replaced token is loaded within seconds; the old one is rejected, and open dashboards are closed."""
    web_daemon.start(token_file=str(token)).wait_until_served()
    open_page = socket.create_connection(("127.0.0.1", web_daemon.port), timeout=10)
    open_page.sendall(f"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    assert open_page.recv(100).startswith(b"HTTP/1.1 200")

    token.write_text("another-token-another-token\n")

    until(lambda: web_daemon.get("/api/status", **BEARER).status == 401, web_daemon.run.log)
    assert 401 != web_daemon.get("/api/status", Authorization="Bearer another-token-another-token").status
    with open_page:
        until(lambda: not open_page.recv(100_000), web_daemon.run.log)


def test_unreadable_token_is_reported_and_retried(web_daemon: WebDaemon, tmp_path: Path) -> None:
    """Without its token file the web child does not listen and reports the reason; it serves once the file exists."""
    path = tmp_path / "later"
    web_daemon.start(token_file=str(path))

    web = web_daemon.until_web(lambda web: web["reason"] not in (None, "starting"))
    assert str(path) in web["reason"]
    assert web["reason"] in web_daemon.run.log()
    with pytest.raises(ConnectionRefusedError):
        web_daemon.get("/login")

    path.write_text(TOKEN)
    web_daemon.until_web(lambda web: web["listening"])
    assert 200 == web_daemon.get("/", **BEARER).status


def test_foreign_host_header_is_rejected_without_a_token(web_daemon: WebDaemon) -> None:
    """A request with a foreign Host header, as after DNS rebinding, gets 403."""
    web_daemon.start().wait_until_served()

    assert (200, 403) == (web_daemon.get("/").status, web_daemon.get("/", Host="evil.example").status)


def test_tls_serves_a_renewed_certificate(web_daemon: WebDaemon, token: Path, tmp_path: Path) -> None:
    """With a certificate only HTTPS is served, and a renewed certificate is used without a restart."""
    authority = trustme.CA()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def issue() -> bytes:
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(str(cert))
        issued.private_key_pem.write_to_path(str(key))
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    def served() -> bytes:
        assert web_daemon.tls is not None
        with (
            socket.create_connection(("127.0.0.1", web_daemon.port), 10) as raw,
            web_daemon.tls.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped,
        ):
            return wrapped.getpeercert(binary_form=True) or b""

    first = issue()
    web_daemon.tls = ssl.create_default_context()
    authority.configure_trust(web_daemon.tls)
    web_daemon.start(token_file=str(token), cert_file=str(cert), key_file=str(key)).wait_until_served()

    assert f"https://127.0.0.1:{web_daemon.port}/" == web_daemon.web()["url"]
    assert 200 == web_daemon.get("/", **BEARER).status
    login = web_daemon.get("/login", "POST", f"token={TOKEN}", Content_Type="application/x-www-form-urlencoded")
    assert "Secure" in login.headers["Set-Cookie"]
    assert first == served()
    with socket.create_connection(("127.0.0.1", web_daemon.port), 10) as plain:
        plain.sendall(b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in plain.recv(100)

    second = issue()
    until(lambda: served() == second, web_daemon.run.log)


def test_mismatched_certificate_is_reported(web_daemon: WebDaemon, tmp_path: Path) -> None:
    """The reason for a certificate that does not match its key names both files."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    authority = trustme.CA()
    authority.issue_cert("a").cert_chain_pems[0].write_to_path(str(cert))
    authority.issue_cert("b").private_key_pem.write_to_path(str(key))
    web_daemon.start(cert_file=str(cert), key_file=str(key))

    reason = web_daemon.until_web(lambda web: web["reason"] not in (None, "starting"))["reason"]

    assert all(part in reason for part in ("http.cert_file", str(cert), str(key), "KEY_VALUES_MISMATCH"))


def test_port_in_use_is_logged_once_and_retried(web_daemon: WebDaemon) -> None:
    """A port in use is logged once and shown in status; the workers keep running, and the port is served once free."""
    with socket.create_server(("127.0.0.1", web_daemon.port)):
        web_daemon.start()
        web = web_daemon.until_web(lambda web: web["reason"] not in (None, "starting"))
        time.sleep(2.5)  # more than one attempt
        worker = web_daemon.run.until(lambda status: status["slots"][0]["pid"], "a worker")["slots"][0]

    assert f"127.0.0.1:{web_daemon.port}: Address already in use" in web["reason"]
    assert (1, 0) == (web_daemon.run.log().count(web["reason"]), web_daemon.web()["restarts"])
    web_daemon.wait_until_served()
    assert worker["pid"] == web_daemon.run.slot(web_daemon.run.status() or {}, "TELEMETRY")["pid"]


def test_killed_web_child_is_replaced(web_daemon: WebDaemon) -> None:
    """After SIGKILL a new web child serves; workers and the health of the daemon are unaffected."""
    web_daemon.start().wait_until_served()
    before = web_daemon.run.until(
        lambda status: status["status"] == "degraded", "degraded, because no server is reachable"
    )

    os.kill(web_daemon.web()["pid"], signal.SIGKILL)
    web_daemon.until_web(lambda web: web["restarts"] == 1 and web["listening"])

    assert 200 == web_daemon.get("/").status
    after = web_daemon.run.status() or {}
    assert (before["slots"][0]["pid"], before["status"]) == (after["slots"][0]["pid"], after["status"])


def test_hung_web_child_is_replaced(web_daemon: WebDaemon) -> None:
    """A web child that sends no heartbeats is killed like a worker, and a new one serves."""
    web_daemon.config["supervisor"] = {"heartbeat": 0.2, "hang_max": 1, "backoff_min": 0.05}
    web_daemon.start().wait_until_served()

    os.kill(web_daemon.web()["pid"], signal.SIGSTOP)

    web_daemon.until_web(lambda web: web["restarts"] == 1 and web["listening"])
    assert 200 == web_daemon.get("/").status


def test_stop_ends_the_web_child_last(web_daemon: WebDaemon) -> None:
    """With a dashboard open, a stop ends the web child last and without delay, and the exit code is 0."""
    web_daemon.start().wait_until_served()
    with socket.create_connection(("127.0.0.1", web_daemon.port), timeout=10) as page:
        page.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert page.recv(100).startswith(b"HTTP/1.1 200")
        started_s = time.monotonic()
        assert 0 == web_daemon.run.stop()

    assert time.monotonic() - started_s < 10
    steps = re.findall(
        "worker told to drain|worker exited|web child told to drain|web child exited", web_daemon.run.log()
    )
    assert ["worker told to drain", "worker exited", "web child told to drain", "web child exited"] == steps


def test_reload_turns_the_web_child_on_and_off(web_daemon: WebDaemon) -> None:
    """A reload of the HTTP settings starts and stops the web child only; no worker is replaced."""
    web_daemon.write(listen=None)
    web_daemon.run.start()
    before = web_daemon.run.until(lambda status: status["slots"][0]["pid"], "a worker")
    assert before["web"] is None

    web_daemon.write()
    web_daemon.run.ctl("reload")
    web_daemon.wait_until_served()
    web_daemon.write(listen=None)
    web_daemon.run.ctl("reload")
    after = web_daemon.run.until(lambda status: status["web"] is None, "no web child")

    assert before["slots"][0]["pid"] == after["slots"][0]["pid"]
    with pytest.raises(ConnectionRefusedError):
        web_daemon.get("/")


def test_slow_clients_use_bounded_memory(web_daemon: WebDaemon) -> None:
    """Two hundred clients that never read their responses use bounded memory and do not lock out other clients."""
    web_daemon.start().wait_until_served()
    until(lambda: web_daemon.get("/metrics").status == 200, web_daemon.run.log)
    process = psutil.Process(web_daemon.web()["pid"])
    before = process.memory_info().rss
    question = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    clients = []
    for number in range(200):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", web_daemon.port))
        client.setblocking(False)
        try:
            client.send(question if number % 2 else question.replace(b"/metrics", b"/api/events", 1))
        except BlockingIOError:
            pass
        clients.append(client)
    time.sleep(5.0)

    assert {200} == {web_daemon.get(path).status for path in ("/", "/metrics", "/api/health", "/api/status")} - {503}
    assert web_daemon.web()["clients"] <= CLIENTS_MAX
    assert web_daemon.web()["open_fds"] < CONNECTIONS_MAX + 60
    assert process.memory_info().rss - before < 40 * 2**20
    for client in clients:
        client.close()

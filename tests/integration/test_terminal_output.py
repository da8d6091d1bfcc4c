"""No command lets foreign text control the terminal: each runs on a pseudo-terminal, with hostile peers and data."""

import contextlib
import json
import os
import pty
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import psycopg
import pytest
from fix_run import COMMANDS, clean, command
from psycopg.types.json import Jsonb
from snapshots import heartbeat, made

MARK = "Q"
UNSAFE = [
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
    and character not in "\t\n\u200c\u200d"
    and not 0x600 <= ord(character) <= 0x8E2
    and character not in "\U000110bd\U000110cd"
] + ["\u061c"]
"""Every character of the unsafe classes. Arabic signs that are visible are not among them."""
HOSTILE = "".join(f"{character}{MARK}" for character in UNSAFE)
WITHOUT_NUL = HOSTILE.replace("\0", "")
DEADLINE_S = 60.0


def run_on_terminal(folder: Path, *arguments: str, until: bytes | None = None) -> tuple[int, str]:
    """
    Run a command with all its descriptors on a pseudo-terminal; return its exit code and what it wrote.

    Args:
        until: Output after which a command that does not end by itself is terminated.
    """
    master, terminal = pty.openpty()
    environ = clean({"TERM": "xterm", "COLUMNS": "2000", "LINES": "50", "XDG_RUNTIME_DIR": str(folder)})
    words = [str(COMMANDS / arguments[0]), *arguments[1:]]
    process = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal, env=environ, cwd=folder)
    os.close(terminal)
    received, until_s = bytearray(), time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < until_s and not (until and until in received):
            if select.select([master], [], [], 0.1)[0]:
                try:
                    received += os.read(master, 65536)
                except OSError:  # the last descriptor of the terminal was closed
                    break
    finally:
        os.close(master)
        if process.poll() is None:
            process.terminate()
        code = process.wait(DEADLINE_S)
    return code, received.decode(errors="surrogateescape")


def control_characters(written: str) -> list[str]:
    """Return the unsafe characters that reached the terminal beside the marker of the test."""
    return [hex(ord(character)) for character in UNSAFE if character + MARK in written]


def hostile(value: Any) -> Any:
    """Return a JSON value with hostile text in all its strings, except for the few words that programs compare."""
    if isinstance(value, dict):
        words = ("status", "state", "health")
        return {key: item if key in words else hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return f"{value}{HOSTILE}\ud800" if isinstance(value, str) else value


def reply_to(verb: str) -> Any:
    """Return the answer of a daemon to a verb, with hostile text wherever text is possible."""
    slot = {"reason": "x", "last_error": "y", "warnings": ["w"]}
    stream = {
        "name": "events", "messages": 1, "bytes": 5, "first_seq": 1, "last_seq": 1, "retention": "limits",
        "storage": "file", "replicas": 3, "discard": "old", "subjects": ["a.>"], "consumers": 2, "max_age_s": 86400.0,
        "max_bytes": None, "max_messages": None,
    }  # fmt: skip
    consumer = {
        "durable": "d", "delivered_seq": 1, "ack_floor_seq": 1, "ack_pending": 1, "pending": 5, "redelivered": 0,
    }  # fmt: skip
    position = {"entry": "A", "shared": False, "stream": stream, "consumer": consumer, "ledger": None}
    sample = {
        "slot": "A/0", "at_ns": 1, "num_delivered": 2, "stream_seq": 1, "subject": "s", "bytes": 1, "headers": ["h"],
        "payload": "p", "reason": "r", "error": "e", "rows": [{"table": "t", "columns": {"c": "v", "j": {"k": "v"}}}],
    }  # fmt: skip
    plain = hostile(made({"A/0": heartbeat(**slot), "B/0": {}}))
    names = [slot["name"] for slot in plain["slots"]]
    change = {"key": "k", "before": "b", "after": ["a"], "effect": "restart"}
    replies = {
        "status": plain,
        "ping": {"pong": True, "pid": 1},
        "config": hostile({"settings": {"nats": {"servers": ["x"]}}}),
        "positions": {"slots": {names[0]: hostile(position)}, "why": hostile({"B/0": "no worker"})},
        "tap": {"samples": [hostile(sample)], "seen": 1, "left_out": 0, "why": hostile({"B/0": "no worker"})},
        "stacks": {"stacks": {HOSTILE: hostile({"pid": 1, "why": "w", "threads": "t", "tasks": ["k"]})}},
        "reload": hostile({"changes": [change], "warnings": ["w"], "replaced": ["A/0"], "started": [], "removed": ["B"],
                           "restart_needed": ["k"]}),
        "scale": hostile({"stream": "A", "workers": 2, "started": ["A/1"], "removed": []}),
    }  # fmt: skip
    return replies.get(verb)


def serve(path: Path, answer: Callable[[str], dict[str, Any]]) -> Callable[[], None]:
    """Serve a control socket in a thread; return the function that stops it."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(50)

    def talk(conn: socket.socket) -> None:
        with conn, contextlib.suppress(OSError), conn.makefile("rwb") as file:
            for line in file:
                request = json.loads(line)
                file.write(json.dumps({"v": 1, "id": request["id"], **answer(request["verb"])}).encode() + b"\n")
                file.flush()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()

    def stop() -> None:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()

    return stop


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with two control sockets of hostile daemons: one answers, the other refuses."""
    folder = tmp_path_factory.mktemp("peers")
    refusal = {"ok": False, "error": f"refused{HOSTILE}", "code": f"code{HOSTILE}"}

    def answer(verb: str) -> dict[str, Any]:
        reply = reply_to(verb)
        return refusal if reply is None else {"ok": True, "result": reply}

    stops = [serve(folder / "answers", answer), serve(folder / "refuses", lambda _: refusal)]
    yield folder
    for stop in stops:
        stop()


SHOWN = [
    ("status",), ("status", "--json"), ("lag",), ("lag", "--json"), ("streams",), ("streams", "--json"),
    ("tap", "A/0", "--limit", "1"), ("tap", "A/0", "--limit", "1", "--json"), ("stacks", "all"),
    ("stacks", "all", "--json"), ("check",), ("check", "--json"), ("reload", "--diff"), ("reload", "--diff", "--json"),
]  # fmt: skip
CALLED = [
    ("top", "--count", "1", "--interval", "0.2"), ("stat", "--count", "1", "--interval", "0.2"),
    ("top", "--count", "1", "--interval", "0.2", "--json"), ("stat", "--count", "1", "--interval", "0.2", "--json"),
    ("scale", "A", "2"), ("support-dump", "dump.tar.gz"), ("ping",), ("ping", "--json"),
]  # fmt: skip
REFUSED = [
    ("status",), ("lag",), ("streams",), ("tap", "A/0", "--limit", "1"), ("stacks", "all"), ("check",), ("reload",),
    ("pause", "A"), ("resume", "A"), ("drain", "A"), ("restart", "A"), ("scale", "A", "2"), ("log-level", "debug"),
    ("stop",), ("ping",), ("top", "--count", "1"), ("stat", "--count", "1"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", SHOWN + CALLED, ids=" ".join)
def test_answers_of_a_hostile_daemon_are_escaped(peers: Path, arguments: tuple[str, ...]) -> None:
    """No command of eventwriter-ctl prints a control character from the daemon's answer."""
    _, written = run_on_terminal(peers, "eventwriter-ctl", "--socket", str(peers / "answers"), *arguments)

    assert [] == control_characters(written)
    if arguments in SHOWN:
        assert (r"\x9bQ" in written) or (r"\u009bQ" in written), written


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_refusals_of_a_hostile_daemon_are_escaped(peers: Path, arguments: tuple[str, ...]) -> None:
    """The reason of a refusal is escaped."""
    _, written = run_on_terminal(peers, "eventwriter-ctl", "--socket", str(peers / "refuses"), *arguments)

    assert [] == control_characters(written)
    assert r"\x9bQ" in written, written


INSERT = """
INSERT INTO eventwriter_dead_letters (stream, incarnation, epoch, stream_seq, consumer, kind, subject, headers, payload,
  reason, detail, num_deliveries, message_timestamp)
VALUES (%(text)s, now(), 0, %(seq)s, %(text)s, %(kind)s, %(text)s, %(headers)s, %(payload)s, %(text)s, %(text)s, 1,
  now())
"""


@pytest.fixture
def letters(database: str, tmp_path: Path) -> str:
    """A database with dead letters that consist of hostile text; return the path of the configuration."""
    assert 0 == command("eventwriter", "migrate", "--dsn", database).returncode
    payloads = [WITHOUT_NUL.encode(), json.dumps({"name": HOSTILE, "community": "x", "value": 1}).encode(), b"\x9bQ"]
    with psycopg.connect(database, autocommit=True) as conn:
        for seq, payload in enumerate(payloads, 1):
            values = {"text": WITHOUT_NUL, "seq": seq, "kind": "telemetry", "payload": payload,
                      "headers": Jsonb({WITHOUT_NUL: WITHOUT_NUL})}  # fmt: skip
            conn.execute(INSERT, values)
    config = tmp_path / "eventwriter.json"
    entry = {"name": "TELEMETRY", "stream_name": "events"}
    config.write_text(json.dumps({"enabled": True, "postgres": {"dsn": database}, "streams": [entry]}))
    return str(config)


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",), ("list", "--json"), ("show", "1"), ("show", "1", "--json"), ("show", "2"), ("show", "2", "--json"),
        ("show", "3"), ("replay",), ("replay", "--dry-run"), ("export", "-"), ("purge", "--yes"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_dead_letters_are_escaped(letters: str, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Subjects, headers, payloads, reasons and details of dead letters are printed without control characters."""
    _, written = run_on_terminal(tmp_path, "eventwriter-ctl", "--config", letters, "dlq", *arguments)

    assert [] == control_characters(written)
    if arguments[0] in ("show", "list", "export") and arguments != ("list",):
        assert (r"\x9bQ" in written) or (r"\u009bQ" in written), written


def test_export_to_a_pipe_is_unchanged_json(letters: str) -> None:
    """`dlq export -` writes the unchanged values as JSON."""
    done = command("eventwriter-ctl", "--config", letters, "dlq", "export", "-")
    exported = [json.loads(line) for line in done.stdout.splitlines()]

    assert 3 == len(exported), done.stderr
    assert {WITHOUT_NUL} == {letter["subject"] for letter in exported}


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "json"])
def test_explain_escapes_payloads(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Rows and dead letters that `explain` prints contain no control characters."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(json.dumps({"name": HOSTILE, "value": 1, "metadata": {HOSTILE: HOSTILE}}))
    bad.write_text(f'{{"name": {HOSTILE}', errors="surrogatepass")
    subject = f"telemetry.{WITHOUT_NUL.replace(' ', '')}"
    shown = [
        run_on_terminal(
            tmp_path, "eventwriter", "explain", str(file), "--kind", "telemetry", "--subject", subject, *flags
        )
        for file in (good, bad)
    ]

    assert [0, 1] == [code for code, _ in shown], shown
    assert [[], []] == [control_characters(written) for _, written in shown]
    assert (r"\x9bQ" in shown[0][1]) or (r"\u009bQ" in shown[0][1])


class HostileServer:
    """A TCP server that sends the same bytes to every client, immediately or after the client's first bytes."""

    def __init__(self, greeting: bytes, reply: bytes) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._greeting, self._reply = greeting, reply
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn = self._server.accept()[0]
                threading.Thread(target=self._talk, args=(conn,), daemon=True).start()

    def _talk(self, conn: socket.socket) -> None:
        with conn, contextlib.suppress(OSError):
            conn.sendall(self._greeting)
            while received := conn.recv(65536):
                # A request for TLS or GSSAPI encryption: PostgreSQL's "no".
                is_negotiation = received[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30")
                conn.sendall(b"N" if is_negotiation else self._reply)
                if not is_negotiation:
                    return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def hostile_servers() -> Iterator[tuple[str, str]]:
    """The URLs of a NATS server and a PostgreSQL server whose errors are hostile."""
    text = WITHOUT_NUL.replace("\r", "").encode()
    info = json.dumps({"server_id": HOSTILE, "version": HOSTILE, "max_payload": 1048576, "headers": True}).encode()
    error = b"SFATAL\0VFATAL\0C28000\0M" + text + b"\0D" + text + b"\0\0"
    nats_server = HostileServer(b"INFO " + info + b"\r\n", b"-ERR 'Hostile Error " + text + b"'\r\n")
    postgres = HostileServer(b"", b"E" + struct.pack("!I", len(error) + 4) + error)
    yield f"nats://127.0.0.1:{nats_server.port}", f"postgresql://u@127.0.0.1:{postgres.port}/db"
    nats_server.close()
    postgres.close()


@pytest.mark.parametrize(
    ("form", "arguments"),
    [
        ("text", ("eventwriter", "migrate")), ("text", ("eventwriter", "doctor")),
        ("text", ("eventwriter", "doctor", "--json")),
        ("text", ("eventwriter", "explain", "--stream", "events", "--seq", "1")),
        ("text", ("eventwriter-ctl", "verify")), ("text", ("eventwriter-ctl", "verify", "--json")),
        ("text", ("eventwriter-ctl", "dlq", "list")), ("text", ("eventwriter", "run")),
        ("json", ("eventwriter", "run")),
    ],
)  # fmt: skip
def test_errors_of_hostile_servers_are_escaped(
    hostile_servers: tuple[str, str], tmp_path: Path, form: str, arguments: tuple[str, ...]
) -> None:
    """Errors of NATS and PostgreSQL are escaped on the terminal and in the daemon's log."""
    nats_url, dsn = hostile_servers
    config = tmp_path / "eventwriter.json"
    content = {
        "enabled": True, "nats": {"servers": [nats_url], "connect_timeout": "1s"}, "postgres": {"dsn": dsn},
        "streams": ["TELEMETRY"], "control": {"socket": str(tmp_path / "c.sock")}, "log": {"format": form},
    }  # fmt: skip
    config.write_text(json.dumps(content))
    with_config = (arguments[0], "--config", str(config), *arguments[1:])
    escaped = rb"\u009bQ" if form == "json" else rb"\x9bQ"
    _, written = run_on_terminal(tmp_path, *with_config, until=escaped if arguments[1] == "run" else None)

    assert [] == control_characters(written)
    if "--stream" not in arguments and "verify" not in arguments:  # they report that NATS does not answer
        assert (r"\x9bQ" in written) or (r"\u009bQ" in written), written


def test_stored_messages_are_escaped(nats_url: str, stream: str, tmp_path: Path) -> None:
    """`explain` escapes the subject and the payload of a stored message."""
    import asyncio

    subject = f"{stream}." + "".join(c + MARK for c in UNSAFE if ord(c) > 0x20 and not c.isspace())

    async def publish() -> None:
        client = await nats.connect(nats_url)
        await client.jetstream().publish(subject, json.dumps({"name": HOSTILE, "value": 1}).encode())
        await client.close()

    asyncio.run(publish())
    config = tmp_path / "eventwriter.json"
    config.write_text(json.dumps({"nats": {"servers": [nats_url]}}))
    arguments = ("--stream", stream, "--seq", "1", "--kind", "telemetry")
    code, written = run_on_terminal(tmp_path, "eventwriter", "--config", str(config), "explain", *arguments)

    assert (0, []) == (code, control_characters(written)), written
    assert r"\x9bQ" in written

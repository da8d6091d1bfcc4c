"""
Record syslog and the journal: util-linux's logger (RFC 5424 and 3164), syslog-ng's and rsyslog's JSON, journalctl.

Needs root (for a host name of its own), logger, faketime, unshare, journalctl and systemd-journal-remote, and of
syslog-ng and rsyslogd those that are installed: on Debian they exclude each other.
"""

import datetime as dt
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from record_flows import free_port, running, wait_for
from recording import record

HOST = "shop-1.example"
TIME = dt.datetime(2026, 1, 1, 0, 0, 0, tzinfo=dt.UTC)
TIME_NS = "1767225600000000000"
MESSAGE = 'card declined for order 1001: "insufficient funds" – Žofie'
NUMBERS = (21, 19, 18, 17, 13, 10, 9, 5)
"""OpenTelemetry's severity numbers of syslog's severities 0 to 7."""


def told_of(program: str, form: str, **entry: Any) -> dict[str, Any]:
    entry = {"time_ns": TIME_NS, "host": HOST, "service_name": "checkout", "body": MESSAGE, "attributes": {}, **entry}
    if "level" in entry:
        entry["severity_number"] = NUMBERS[entry["level"]]
    return {"producer": program, "kind": "logs", "subject": "logs.lines", "form": form, "records": [entry]}


def version_of(*command: str) -> str:
    text = subprocess.run(command, capture_output=True, text=True).stdout
    found = re.search(r"\d+(\.\d+)+|\d{3}", text)
    return found[0] if found else ""


def logger_sends(*options: str) -> bytes:
    """Return the datagram of util-linux's logger, on a host and at a time of our choice."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        port = server.getsockname()[1]
        logger = ["logger", "-d", "-n", "127.0.0.1", "-P", str(port), "-t", "checkout", "--id=4242", *options]
        script = 'hostname "$0"; exec env TZ=UTC LC_ALL=C.UTF-8 faketime -f "2026-01-01 00:00:00" "$@"'
        subprocess.run(["unshare", "--uts", "sh", "-c", script, HOST, *logger], check=True)
        return server.recv(65_535)


def record_logger() -> None:
    program = f"util-linux logger {version_of('logger', '--version')}"
    data = [
        "--sd-id",
        "order@32473",
        "--sd-param",
        'id="1001"',
        "--sd-param",
        'note="twice, by card"',
        "--msgid",
        "PAY7",
    ]
    lines = {
        "rfc5424.txt": (["--rfc5424", "-p", "local0.err", *data], "RFC 5424 with structured data", 3),
        "rfc5424_plain.txt": (["--rfc5424=notq", "-p", "auth.notice"], "RFC 5424 without structured data", 5),
        "rfc5424_no_time.txt": (
            ["--rfc5424=notime,notq,nohost", "-p", "local7.debug"],
            "RFC 5424, time and host are -",
            7,
        ),
        "rfc3164.txt": (["--rfc3164", "-p", "daemon.warning"], "RFC 3164", 4),
        "rfc3164_emergency.txt": (["--rfc3164", "-p", "user.emerg"], "RFC 3164", 0),
    }
    facilities = {"rfc5424.txt": 16, "rfc5424_plain.txt": 4, "rfc5424_no_time.txt": 23, "rfc3164.txt": 3}
    for name, (options, form, level) in lines.items():
        entry: dict[str, Any] = {"level": level, "facility": facilities.get(name, 1), "process_id": "4242"}
        if "no_time" in name:
            entry |= {"time_ns": None, "host": None}
        if name == "rfc5424.txt":
            entry |= {"attributes": {"order@32473": {"id": "1001", "note": "twice, by card"}}, "message_id": "PAY7"}
        if name.startswith("rfc3164"):
            entry["host"] = "shop-1"  # without its domain
        record("syslog", name, logger_sends(*options, MESSAGE), told_of(program, form, **entry))


SYSLOG_NG = """
@version: 3.35
options {{ keep-hostname(yes); ts-format(iso); frac-digits(6); stats-freq(0); }};
source s_net {{ syslog(transport("udp") ip("127.0.0.1") port({port})); }};
destination d_json {{ file("{out}" template("$(format-json {scope})\\n")); }};
log {{ source(s_net); destination(d_json); }};
"""
RSYSLOG = """
module(load="imudp")
input(type="imudp" address="127.0.0.1" port="{port}")
template(name="json" type="list") {{ property(name="jsonmesg") constant(value="\\n") }}
action(type="omfile" file="{out}" template="json")
"""
LINE = f'<131>1 2026-01-01T00:00:00.123456Z {HOST} checkout 4242 PAY7 [order@32473 id="1001"] {MESSAGE}'.encode()


@contextmanager
def relayed(command: Sequence[str], config: str, **more: str) -> Iterator[Path]:
    """Send LINE to a syslog daemon; yield the file that it writes."""
    with tempfile.TemporaryDirectory() as place:
        port, out, file = free_port(), Path(place) / "out", Path(place) / "config"
        file.write_text(config.format(port=port, out=out, **more))
        with (
            running([part.format(place=place, config=file) for part in command], port),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            sender.sendto(LINE, ("127.0.0.1", port))
            wait_for(lambda: out.exists() and out.read_bytes().endswith(b"\n"), f"{command[0]} writes")
            yield out


def relayed_entry() -> dict[str, Any]:
    entry = {"time_ns": "1767225600123456000", "level": 3, "facility": 16, "process_id": "4242", "message_id": "PAY7"}
    return {**entry, "attributes": {"order@32473": {"id": "1001"}}}


def record_syslog_ng() -> None:
    program = f"syslog-ng {version_of('syslog-ng', '--version')}"
    command = ["syslog-ng", "-F", "--no-caps", "-f", "{config}", "-R", "{place}/persist", "-c", "{place}/control"]
    scopes = {
        "syslog_ng.json": "--scope rfc5424 --scope nv-pairs --exclude DATE --key ISODATE",
        "syslog_ng_macros.json": "--scope selected-macros --scope nv-pairs",
    }
    for name, scope in scopes.items():
        with relayed([*command, "-p", "{place}/pid"], SYSLOG_NG, scope=scope) as out:
            record(
                "syslog", name, out.read_bytes(), told_of(program, f"syslog-ng format-json {scope}", **relayed_entry())
            )


def record_rsyslog() -> None:
    command = ["rsyslogd", "-n", "-f", "{config}", "-i", "{place}/pid"]
    with relayed(command, RSYSLOG) as out:
        # What differs from run to run: when and from where the line came.
        payload = re.sub(rb'("timegenerated": ")[^"]*"', rb'\g<1>2026-01-01T00:00:01.000000+00:00"', out.read_bytes())
        payload = re.sub(rb'("fromhost": ")[^"]*"', rb'\g<1>shop-1.example"', payload)
        program = f"rsyslog {version_of('rsyslogd', '-v')}"
        record(
            "syslog",
            "rsyslog_jsonmesg.json",
            payload,
            told_of(program, "rsyslog's property jsonmesg", **relayed_entry()),
        )


def journal_field(name: str, value: bytes) -> bytes:
    """Write one field of the journal's export format: binary where it is not one line."""
    if b"\n" in value or any(byte < 32 for byte in value):
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return f"{name}=".encode() + value + b"\n"


def record_journal() -> None:
    program = f"systemd-journald's journalctl -o json {version_of('journalctl', '--version')}"
    messages = [
        ("error", 3, MESSAGE.encode(), MESSAGE),
        ("debug_multi_line", 7, b"line one\nline two", "line one\nline two"),
        ("not_utf8", 4, b"caf\xe9 \x00 closed", {"$bytes": "Y2Fm6SAAIGNsb3NlZA=="}),
    ]
    with tempfile.TemporaryDirectory() as place:
        export = b"".join(journal_entry(n, level, text) for n, (_, level, text, _) in enumerate(messages))
        (Path(place) / "in.export").write_bytes(export)
        remote = "/lib/systemd/systemd-journal-remote"
        journal = f"{place}/out.journal"
        subprocess.run([remote, "-o", journal, f"{place}/in.export"], check=True, capture_output=True)
        command = ["journalctl", "--file", journal, "-o", "json", "--no-pager", "--all"]
        lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines(keepends=True)
    for n, ((name, level, _, body), line) in enumerate(zip(messages, lines, strict=True)):
        line = re.sub(rb'("__CURSOR"\s*:\s*")[^"]*"', rb'\g<1>s=0;i=1"', line)
        entry = {
            "time_ns": str(int(TIME_NS) + n * 10**9 + 123456000),
            "level": level,
            "body": body,
            "facility": 16,
            "process_id": "4242",
            "attributes": {"ORDER_ID": "1001", "_SYSTEMD_UNIT": "checkout.service"},
        }
        told = told_of(program, "journal entry as JSON", **entry)
        record("journald", f"{name}.json", line, {**told, "subject": "logs.journal"})


def journal_entry(number: int, level: int, message: bytes) -> bytes:
    fields = {
        "__REALTIME_TIMESTAMP": str(1_767_225_600_123_456 + number * 10**6),
        "__MONOTONIC_TIMESTAMP": str(4_242_000_000 + number),
        "_BOOT_ID": "0123456789abcdef0123456789abcdef",
        "PRIORITY": str(level),
        "SYSLOG_FACILITY": "16",
        "SYSLOG_IDENTIFIER": "checkout",
        "_HOSTNAME": HOST,
        "_PID": "4242",
        "_UID": "1000",
        "_SYSTEMD_UNIT": "checkout.service",
        "_TRANSPORT": "journal",
        "CODE_FILE": "shop/orders.py",
        "CODE_LINE": "12",
        "ORDER_ID": "1001",
    }
    text = b"".join(journal_field(name, value.encode()) for name, value in fields.items())
    return text + journal_field("MESSAGE", message) + b"\n"


if __name__ == "__main__":
    record_logger()
    if shutil.which("syslog-ng"):
        record_syslog_ng()
    if shutil.which("rsyslogd"):
        record_rsyslog()
    record_journal()

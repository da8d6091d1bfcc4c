"""
Record Python loggers: loguru, structlog, python-json-logger, ecs-logging, Google Cloud, graypy, pygelf and syslog.

The calls are compiled under a file name of their own, so that no recording names a folder of this machine.
"""

import io
import json
import logging
import logging.handlers
import os
import socket
import socketserver
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import time_machine
from recording import capture_server, kept_headers, record, scenario

TOLD = scenario()
TIME_NS = TOLD["calls_time_ns"]
HOST = "shop-1.example"
NUMBERS = {"trace": 1, "debug": 5, "info": 9, "warning": 13, "error": 17, "fatal": 21}

CALLS = """
def make_calls(say):
    for call in calls:
        if "error" in call:
            try:
                raise ValueError(call["error"])
            except ValueError:
                say(call, True)
        else:
            say(call, False)
"""
"""Every logger is called from here: file shop/orders.py, function make_calls."""


def make_calls(say: Callable[[dict[str, Any], bool], None], levels: dict[str, str]) -> None:
    calls = [call for call in TOLD["calls"] if call["level"] in levels]
    names: dict[str, Any] = {"calls": calls, "__name__": "shop.orders"}
    exec(compile(CALLS, "shop/orders.py", "exec"), names)
    names["make_calls"](say)


def told_of(
    package: str, form: str, levels: dict[str, str], numbers: dict[str, int] | None = None, **extra: Any
) -> dict[str, Any]:
    """Return told.json; `levels` maps the scenario's levels to the logger's own, `numbers` to OpenTelemetry's."""
    return {
        "producer": f"{package} {version(package)}" if package != "logging" else f"logging (Python {python()})",
        "kind": "logs",
        "subject": f"logs.{package.replace('-', '_')}",
        "form": form,
        "records": [
            {
                "time_ns": TIME_NS,
                "level": levels[call["level"]],
                "severity_number": (numbers or {}).get(call["level"], NUMBERS[call["level"]]),
                "body": call["message"],
                "attributes": call["fields"],
                **({"error": {"type": "ValueError", "message": call["error"]}} if "error" in call else {}),
                **extra,
            }
            for call in TOLD["calls"]
            if call["level"] in levels
        ],
    }


def python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


class SteadyRecord(logging.LogRecord):
    """A log record whose process and thread are the same in every run."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.process, self.thread, self.threadName = 4242, 4243, "MainThread"


STDLIB = {"debug": "DEBUG", "info": "INFO", "warning": "WARNING", "error": "ERROR", "fatal": "CRITICAL"}
CRITICAL = {"fatal": 18}
"""Python's highest level is called critical, which is OpenTelemetry's 18."""


def stdlib_calls(handler: logging.Handler) -> None:
    """Make the calls on a logger of the standard library that has only this handler."""
    logger = logging.Logger("shop.orders", logging.DEBUG)
    logger.addHandler(handler)

    def say(call: dict[str, Any], failed: bool) -> None:
        level = logging.getLevelName(STDLIB[call["level"]])
        logger.log(level, call["message"], extra=call["fields"], exc_info=failed, stacklevel=2)

    make_calls(say, STDLIB)
    handler.flush()
    handler.close()


def stdlib_lines(formatter: logging.Formatter) -> bytes:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    stdlib_calls(handler)
    return out.getvalue().encode()


def record_loguru() -> None:
    from loguru import logger

    levels = {"trace": "TRACE", **STDLIB}
    out = io.StringIO()
    logger.remove()
    logger.configure(extra={"service": "checkout"})
    logger.add(out, level="TRACE", serialize=True, diagnose=False, backtrace=False)

    def say(call: dict[str, Any], failed: bool) -> None:
        bound = logger.bind(**call["fields"]).opt(exception=failed, depth=1)
        bound.log(levels[call["level"]], call["message"])

    make_calls(say, levels)
    logger.remove()
    told = told_of("loguru", "NDJSON: text, record", levels, CRITICAL, service_name="checkout")
    lines = [no_elapsed(line) for line in out.getvalue().splitlines()]
    record("loguru", "lines.ndjson", "".join(lines).encode(), told)


def no_elapsed(line: str) -> str:
    """Set what differs from run to run: the time since the start, and the numbers of process and thread."""
    parsed = json.loads(line)
    parsed["record"]["elapsed"] = {"repr": "0:00:01.500000", "seconds": 1.5}
    parsed["record"]["process"]["id"] = 4242
    parsed["record"]["thread"] = {"id": 4243, "name": "MainThread"}
    return json.dumps(parsed, ensure_ascii=False) + "\n"


def record_structlog() -> None:
    import structlog
    from structlog.tracebacks import ExceptionDictTransformer

    levels = {k: v.lower() for k, v in STDLIB.items()}
    out = io.StringIO()
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=out),
    )
    logger = structlog.get_logger(service="checkout")

    def say(call: dict[str, Any], failed: bool) -> None:
        fields = {**call["fields"], **({"exc_info": True} if failed else {})}
        getattr(logger, levels[call["level"]])(call["message"], **fields)

    make_calls(say, levels)
    told = told_of("structlog", "NDJSON: event, level, timestamp", levels, CRITICAL, service_name="checkout")
    record("structlog", "lines.ndjson", out.getvalue().replace(f"{os.getcwd()}/", "").encode(), told)


def record_python_json_logger() -> None:
    from pythonjsonlogger.json import JsonFormatter

    fields = "%(asctime)s %(levelname)s %(name)s %(message)s %(process)d %(threadName)s %(funcName)s %(lineno)d"
    formatter = JsonFormatter(fields, json_ensure_ascii=False)
    formatter.converter = time.gmtime
    told = told_of(
        "python-json-logger", "NDJSON: asctime, levelname, name, message", STDLIB, CRITICAL, logger="shop.orders"
    )
    record("python_json_logger", "lines.ndjson", stdlib_lines(formatter), told)

    renamed = JsonFormatter("%(message)s", timestamp=True, json_ensure_ascii=False)
    told = told_of("python-json-logger", "NDJSON: message, timestamp", STDLIB)
    for entry in told["records"]:
        entry |= {"level": None, "severity_number": None}
    told["note"] = "This format writes no level."
    record("python_json_logger", "message_and_timestamp.ndjson", stdlib_lines(renamed), told)


def record_ecs() -> None:
    import ecs_logging

    told = told_of("ecs-logging", "NDJSON: ECS, log.level dotted, log nested", STDLIB, CRITICAL, logger="shop.orders")
    record("ecs", "python_logging.ndjson", stdlib_lines(ecs_logging.StdlibFormatter()), told)


def record_google() -> None:
    from google.cloud.logging_v2.handlers import StructuredLogHandler

    stdlib_calls(StructuredLogHandler(stream=io.StringIO(), project_id="shop-prod"))  # starts with a line of its own
    out = io.StringIO()
    stdlib_calls(StructuredLogHandler(stream=out, project_id="shop-prod", labels={"service": "checkout"}))
    told = told_of("google-cloud-logging", "NDJSON: severity, message, logging.googleapis.com/*", STDLIB, CRITICAL)
    told["not_sent"] = ["time_ns", "attributes: the handler takes only json_fields and labels"]
    record("google_cloud_logging", "lines.ndjson", out.getvalue().encode(), told)

    out = io.StringIO()
    span = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}
    handler = StructuredLogHandler(stream=out, project_id="shop-prod")
    told = told_of("google-cloud-logging", "NDJSON: severity, message and json_fields", STDLIB, CRITICAL)
    logger = logging.Logger("shop.orders", logging.DEBUG)
    logger.addHandler(handler)

    def say(call: dict[str, Any], failed: bool) -> None:
        level = logging.getLevelName(STDLIB[call["level"]])
        extra = {
            "json_fields": call["fields"],
            "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
            "span_id": "00f067aa0ba902b7",
        }
        logger.log(level, call["message"], extra=extra, exc_info=failed, stacklevel=2)

    make_calls(say, STDLIB)
    for entry in told["records"]:
        entry |= span
    told["not_sent"] = ["time_ns"]
    record("google_cloud_logging", "json_fields.ndjson", out.getvalue().encode(), told)


@contextmanager
def datagrams() -> Iterator[tuple[int, list[bytes]]]:
    """Receive UDP on a free port of the loopback interface."""
    received: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            received.append(self.request[0])

    with socketserver.UDPServer(("127.0.0.1", 0), Handler) as server:
        server.max_packet_size = 65_535
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1], received
        time.sleep(0.2)
        server.shutdown()
        thread.join()


@contextmanager
def tcp_stream() -> Iterator[tuple[int, list[bytes]]]:
    """Receive one TCP connection on a free port of the loopback interface."""
    received: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            received.append(self.rfile.read())

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1], received
        time.sleep(0.2)
        server.shutdown()
        thread.join()


SYSLOG = {"debug": 5, "info": 9, "warning": 13, "error": 17, "fatal": 18}
"""GELF levels 7, 6, 4, 3 and 2 by WIRE's table of OpenTelemetry's numbers."""


def gelf_told(package: str, form: str) -> dict[str, Any]:
    told = told_of(package, form, STDLIB, SYSLOG, host=HOST, logger="shop.orders")
    for entry, level in zip(told["records"], (7, 6, 4, 3, 2), strict=True):
        entry["level"] = level
    return told


def record_gelf() -> None:
    import graypy
    import pygelf

    with datagrams() as (port, received):
        stdlib_calls(graypy.GELFUDPHandler("127.0.0.1", port, compress=False, localname=HOST))
    gelf_each("graypy_udp", received, gelf_told("graypy", "GELF 1.0, one UDP datagram"))

    with datagrams() as (port, received):
        stdlib_calls(graypy.GELFUDPHandler("127.0.0.1", port, compress=True, localname=HOST))
    told = gelf_told("graypy", "GELF, zlib-compressed UDP datagram")
    one_record = {**told, "records": told["records"][1:2]}
    record("gelf", "graypy_udp_zlib.bin", zlib.compress(zlib.decompress(received[1])), one_record)

    with tcp_stream() as (port, streams):
        stdlib_calls(graypy.GELFTCPHandler("127.0.0.1", port, localname=HOST))
    messages = [message + b"\0" for message in streams[0].split(b"\0") if message]
    gelf_each("graypy_tcp", messages, gelf_told("graypy", "GELF over TCP: ends in NUL"))

    options = {"include_extra_fields": True, "debug": True, "_service": "checkout"}
    with datagrams() as (port, received):
        stdlib_calls(pygelf.GelfUdpHandler("127.0.0.1", port, compress=False, domain=HOST, version="1.1", **options))
    told = gelf_told("pygelf", "GELF 1.1, one UDP datagram")
    gelf_each("pygelf_udp", received, told)

    with capture_server() as (url, requests):
        handler = pygelf.GelfHttpHandler(
            "127.0.0.1", int(url.rpartition(":")[2]), compress=False, domain=HOST, **options
        )
        stdlib_calls(handler)
        while len(requests) < len(STDLIB):  # the handler does not wait for an answer
            time.sleep(0.02)
    told = gelf_told("pygelf", "GELF over HTTP")
    [info] = [request for request in requests if b"order placed" in request.body]
    record("gelf", "pygelf_http.json", info.body, {**told, "records": told["records"][1:2]}, kept_headers(info.headers))


def gelf_each(stem: str, messages: list[bytes], told: dict[str, Any]) -> None:
    """Record the messages of info and of error: fields of every type, and a stack trace."""
    assert len(messages) == len(told["records"]), (stem, len(messages))
    for at, name in ((1, "info"), (3, "error")):
        record("gelf", f"{stem}_{name}.json", messages[at], {**told, "records": told["records"][at : at + 1]})


def record_syslog() -> None:
    told = told_of("logging", "RFC 3164 line without time or host", STDLIB, SYSLOG)
    for with_nul in (True, False):
        with datagrams() as (port, received):
            handler = logging.handlers.SysLogHandler(("127.0.0.1", port), facility="local0")
            handler.append_nul = with_nul
            handler.ident = "checkout: "
            stdlib_calls(handler)
        entry = {**told["records"][1], "service_name": "checkout", "attributes": {}, "time_ns": None, "facility": 16}
        form = told["form"] + (", ends in NUL" if with_nul else "")
        name = "python_nul.txt" if with_nul else "python.txt"
        record("syslog", name, received[1], {**told, "form": form, "records": [entry], "subject": "logs.lines"})


def main() -> None:
    socket.gethostname = lambda: HOST
    socket.getfqdn = lambda name="": HOST
    os.getpid = lambda: 4242
    os.environ["TZ"] = "UTC"
    time.tzset()
    logging.setLogRecordFactory(SteadyRecord)
    with time_machine.travel(int(TIME_NS) / 1e9, tick=False):
        record_loguru()
        record_structlog()
        record_python_json_logger()
        record_ecs()
        record_google()
        record_gelf()
        record_syslog()


if __name__ == "__main__":
    main()

"""
A child's end of its link to the supervisor: heartbeats up, commands down. One JSON object a packet.

Nothing here waits: a parent that does not read loses heartbeats, never holds a child up.
"""

import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any

PACKET_BYTES_MAX = 64 * 1024


def send(link: socket.socket, packet: bytes) -> bool:
    """Send one packet; False where the parent does not read, or is gone."""
    try:
        link.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return False
    return True


def beat(link: socket.socket, facts: Mapping[str, Any]) -> bool:
    """Send one heartbeat."""
    return send(link, json.dumps({"type": "heartbeat", **facts}).encode())


def commands(link: socket.socket) -> list[dict[str, Any]]:
    """Return the commands that have arrived; `stop` at the end where the parent is gone."""
    found: list[dict[str, Any]] = []
    while True:
        try:
            packet = link.recv(PACKET_BYTES_MAX, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return found
        except OSError:
            packet = b""
        if not packet:
            return [*found, {"type": "stop"}]
        with contextlib.suppress(ValueError):
            found.append(json.loads(packet))

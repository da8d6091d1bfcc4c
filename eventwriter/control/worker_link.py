"""
A child's end of its link to the supervisor: it sends heartbeats and receives commands, one JSON object per packet.

Nothing here waits: if the parent does not read, heartbeats are dropped, and the child goes on.
"""

import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any

PACKET_BYTES_MAX = 64 * 1024


def send(link: socket.socket, packet: bytes) -> bool:
    """Send one packet; return whether the link accepted it."""
    try:
        link.send(packet, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return False
    return True


def send_heartbeat(link: socket.socket, fields: Mapping[str, Any]) -> bool:
    """Send one heartbeat; return whether the link accepted it."""
    return send(link, json.dumps({"type": "heartbeat", **fields}).encode())


def receive_commands(link: socket.socket) -> list[dict[str, Any]]:
    """Return the commands that have arrived; `stop` is the last one if the parent is gone."""
    commands: list[dict[str, Any]] = []
    while True:
        try:
            packet = link.recv(PACKET_BYTES_MAX, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return commands
        except OSError:
            packet = b""
        if not packet:
            return [*commands, {"type": "stop"}]
        with contextlib.suppress(ValueError):
            commands.append(json.loads(packet))

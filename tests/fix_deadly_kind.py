"""A custom kind whose decoder ends or blocks its process, installed as a package is."""

import os
from pathlib import Path

from eventwriter.kinds.names import ENTRY_POINT_GROUP

KIND = "deadly"
"""Name of the kind; it decodes telemetry."""
ABORT, SEGFAULT, BLOCK = "aborts-its-worker", "segfaults-its-worker", "blocks-its-worker"
"""Texts in a payload: its decoder aborts, dereferences a null pointer, or never returns."""

SOURCE = f'''
import ctypes
import os
from dataclasses import replace

from eventwriter.kinds.registry import KINDS


def block():
    while True:
        pass


ENDS = {{
    b"{ABORT}": os.abort,
    b"{SEGFAULT}": lambda: ctypes.string_at(0),
    b"{BLOCK}": block,
}}


def decode(message):
    for mark, end in ENDS.items():
        if mark in message.payload:
            end()
    return KINDS["telemetry"].decode(message)


DEADLY = replace(KINDS["telemetry"], name="{KIND}", decode=decode)
'''


def install(folder: Path) -> dict[str, str]:
    """Write the package into `folder`; return the environment variable with which Python finds it."""
    packages = folder / "packages"
    info = packages / "deadly_kind-1.0.dist-info"
    info.mkdir(parents=True)
    (packages / "deadly_kind.py").write_text(SOURCE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly-kind\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{KIND} = deadly_kind:DEADLY\n")
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{packages}{os.pathsep}{path}" if path else str(packages)}

"""Fixtures are plugins by subject."""

import signal

import pytest

pytest.register_assert_rewrite("faults")  # helpers that claim, too

pytest_plugins = (
    "fix_servers", "fix_losses", "fix_daemon", "fix_fault_points", "fix_nats", "fix_postgres", "fix_pipeline",
    "fix_replication", "fix_shared_stream",
    "fix_faults", "fix_all_tables", "fix_golden", "fix_storage", "fix_ctl", "fix_web", "fix_browser",
    "fix_scripted_supervisor", "fix_nats_cluster",
)  # fmt: skip

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background by a shell, which has it ignored: programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""Resource usage of this process."""

import os

import psutil

from eventwriter.observe.process import own_usage


def test_usage_agrees_with_psutil() -> None:
    """Memory and CPU time are those that psutil reads for the same process."""
    own, other = own_usage(), psutil.Process()

    times = other.cpu_times()
    assert abs(own["rss_bytes"] - other.memory_info().rss) < 8 * 2**20
    assert abs(own["cpu_s"] - (times.user + times.system)) < 1.0


def test_opened_descriptors_are_counted() -> None:
    """Two more open descriptors raise the count by two."""
    before = own_usage()["open_fds"]
    read, write = os.pipe()
    after = own_usage()["open_fds"]
    os.close(read)
    os.close(write)

    assert before + 2 == after

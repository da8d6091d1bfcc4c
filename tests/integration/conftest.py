"""Integration tests run on uvloop, the event loop of the workers."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run all tests on uvloop."""
    return {"uvloop": uvloop.new_event_loop}

"""What meets real servers runs on the event loop that a worker has."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Say which event loop tests get."""
    return {"uvloop": uvloop.new_event_loop}

"""How the two tasks of a pipeline end."""

import asyncio

from eventwriter.pipeline.pipeline import cancel_and_wait


async def test_swallowed_cancellation_is_repeated() -> None:
    """A task that swallows a cancellation, as a driver may, is cancelled again until it ends."""
    events: list[str] = []

    async def flush() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("swallowed")
        await asyncio.Event().wait()

    task = asyncio.ensure_future(flush())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_and_wait(task, repeat_s=0.001)

    assert (["swallowed"], True) == (events, task.cancelled())


async def test_failed_task_does_not_prevent_cancelling_the_other() -> None:
    """If one task has already failed, the other is still cancelled and awaited."""

    async def fill() -> None:
        raise ValueError("x")

    async def flush() -> None:
        await asyncio.Event().wait()

    failed, running = asyncio.ensure_future(fill()), asyncio.ensure_future(flush())
    await asyncio.sleep(0)
    await cancel_and_wait(failed, running)

    assert (True, True) == (failed.done(), running.cancelled())

"""How the two tasks of the line end."""

import asyncio

from eventwriter.pipeline.pipeline import ended


async def test_cancellation_that_was_swallowed_is_repeated() -> None:
    """A task that loses a cancellation, as a driver's wait may, is cancelled again until it ends."""
    lost: list[str] = []

    async def flush() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.append("swallowed")
        await asyncio.Event().wait()

    task = asyncio.ensure_future(flush())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await ended(task, again_s=0.001)

    assert (["swallowed"], True) == (lost, task.cancelled())


async def test_error_of_a_task_is_taken_note_of() -> None:
    """A task that had failed already does not keep the other from being ended."""

    async def fill() -> None:
        raise ValueError("x")

    async def flush() -> None:
        await asyncio.Event().wait()

    failed, running = asyncio.ensure_future(fill()), asyncio.ensure_future(flush())
    await asyncio.sleep(0)
    await ended(failed, running)

    assert (True, True) == (failed.done(), running.cancelled())

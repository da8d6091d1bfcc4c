"""Another number of workers for a stream while the daemon runs: who may have it, and why others may not. Pure."""

from eventwriter.config.settings import PARTITION, Settings, StreamSettings
from eventwriter.errors import Fatal

WORKERS_MAX = 256  # as `partitions` allows


def scaled(settings: Settings, name: str, workers: int) -> Settings:
    """
    Return the settings with another number of workers for one entry.

    Raises:
        Fatal: The entry is not there or not enabled, or its messages would be read by nobody, or twice.
    """
    stream = settings.stream(name)
    if not stream.enabled:
        raise Fatal(f"stream {name} is not enabled: set its enabled to true and reload")
    if not 1 <= workers <= WORKERS_MAX:
        raise Fatal(f"{workers} workers are not possible: 1 to {WORKERS_MAX} are; `drain {name}` stops them all")
    if workers != stream.partitions and (why := refusal(stream, workers)):
        raise Fatal(why)
    streams = tuple(
        one.model_copy(update={"partitions": workers}) if one.name == name else one for one in settings.streams
    )
    return settings.model_copy(update={"streams": streams})


def refusal(stream: StreamSettings, workers: int) -> str | None:
    """Say why an entry cannot have another number of workers just so; None where it can."""
    if stream.is_shared:
        return None
    name, now = stream.name, stream.partitions
    if stream.partition_subjects:
        return (
            f"the {now} workers of stream {name} have lists of subjects: edit its partition_subjects"
            " (one list for each worker) and reload"
        )
    if not any(PARTITION in subject for subject in stream.subjects):
        return (
            f"stream {name} has one worker for all its subjects: to have more, edit its entry (partition_mode"
            " = shared, or {partition} in its subjects, or partition_subjects; see docs/partitions.md) and reload"
        )
    if now == 1 or workers == 1:
        return (
            f"from one worker to several, or back, the durables of stream {name} are others, which begin at the"
            " stream's start: see docs/partitions.md, edit partitions of its entry, and reload"
        )
    if workers < now:
        return (
            f"partitions {workers} to {now - 1} of stream {name} would be read by nobody: have NATS number its"
            f" subjects from 0 to {workers - 1} first, edit partitions of the entry, and reload"
        )
    return None

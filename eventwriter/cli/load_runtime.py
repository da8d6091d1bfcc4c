"""Load settings for running the daemon, which also checks their kinds and tables."""

from collections.abc import Mapping

from eventwriter.config.errors import SettingError
from eventwriter.config.load import Loaded, load
from eventwriter.config.settings import Settings
from eventwriter.errors import Fatal


def load_runtime(path: str | None, environ: Mapping[str, str]) -> Loaded:
    """
    Load settings and check that the daemon can run with them.

    Raises:
        ConfigError: The configuration is invalid; lists every mistake.
    """
    return load(path, environ, run_checks=unsupported)


def unsupported(settings: Settings) -> list[SettingError]:
    """Return the errors in kinds and tables of the stream entries."""
    # Imported here because it loads nats-py and psycopg.
    from eventwriter.kinds.registry import kind
    from eventwriter.worker.table_binding import tables_of

    errors = []
    for stream in settings.streams:
        try:
            tables_of(stream, kind(stream.kind))
        except Fatal as error:
            message = str(error).removeprefix(f"stream {stream.name}: ")
            errors.append(SettingError(f"streams[{stream.name}]", error.code, message))
    return errors

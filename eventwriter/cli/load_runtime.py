"""Load settings for running the daemon, which also checks their kinds and tables."""

from collections.abc import Mapping

from eventwriter.config.load import Loaded, load
from eventwriter.config.settings import Settings
from eventwriter.errors import ConfigError, Fatal


def load_runtime(path: str | None, environ: Mapping[str, str]) -> Loaded:
    """
    Load settings and check that the daemon can run with them.

    Raises:
        ConfigError: The configuration is invalid; lists every mistake.
    """
    loaded = load(path, environ, check_files=True)
    if mistakes := unsupported(loaded.settings):
        raise ConfigError(mistakes, path)
    return loaded


def unsupported(settings: Settings) -> list[str]:
    """Return the mistakes in kinds and tables of the stream entries."""
    # Imported here because it loads nats-py and psycopg, which an invalid file should not have to wait for.
    from eventwriter.kinds.registry import kind
    from eventwriter.worker.table_binding import tables_of

    said = []
    for stream in settings.streams:
        try:
            tables_of(stream, kind(stream.kind))
        except Fatal as error:
            text = str(error)
            said.append(text if text.startswith("stream ") else f"stream {stream.name}: {text}")
    return said

"""Loading settings for what runs them: kinds and tables, which only the program's upper half knows, are checked too."""

from collections.abc import Mapping

from eventwriter.config.load import Loaded, load
from eventwriter.config.settings import Settings
from eventwriter.errors import ConfigError, Fatal


def load_to_run(path: str | None, environ: Mapping[str, str]) -> Loaded:
    """
    Load settings that a daemon can run.

    Raises:
        ConfigError: With every mistake.
    """
    loaded = load(path, environ, check_files=True)
    if mistakes := unfit(loaded.settings):
        raise ConfigError(mistakes, path)
    return loaded


def unfit(settings: Settings) -> list[str]:
    """Return what this version cannot do, one sentence for each stream's entry."""
    # Imported here: these bring nats-py and psycopg along, which a mistake in the file need not wait for.
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

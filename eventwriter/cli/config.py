"""`eventwriter config`: show, validate and describe the configuration."""

import json
import os

import click

from eventwriter.cli.load_runtime import load_runtime
from eventwriter.cli.output import echo, echo_code, echo_json
from eventwriter.config.load import Loaded, load

EXIT_NOT_ENABLED = 100  # unlike the exit code of any failure, because only a deliberate "off" may skip the unit


@click.group()
@click.option("--config", "config_path", metavar="FILE", help="Configuration file, as for `eventwriter --config`.")
@click.pass_context
def config(ctx: click.Context, config_path: str | None) -> None:
    """Show, validate and describe the configuration."""
    ctx.obj = config_path or ctx.obj


@config.command()
@click.pass_obj
def show(path: str | None) -> None:
    """
    Print the settings in effect as JSON, with secrets replaced by asterisks.

    Apart from the secrets, the output is itself a configuration file.
    """
    from eventwriter.config.describe import effective

    loaded = load(path, os.environ)
    warn(loaded)
    echo(f"from {loaded.source} and the environment", err=True)
    echo_json(json.dumps(effective(loaded.settings), indent=2, ensure_ascii=False))


@config.command()
@click.argument("file", required=False)
@click.pass_obj
def validate(path: str | None, file: str | None) -> None:
    """
    Validate FILE, or the configuration in effect, and print every mistake.

    The environment applies as for `run`. Servers are not contacted; `eventwriter doctor` checks streams and tables.
    Exit codes: 0 valid, 2 invalid.
    """
    loaded = load_runtime(file or path, os.environ)
    warn(loaded)
    settings = loaded.settings
    echo(f"{loaded.source}: valid")
    for stream in settings.streams:
        tables = f" → {', '.join(stream.tables)}" if stream.tables else ""
        off = "" if stream.enabled else " (not enabled)"
        echo(f"  {stream.name:<14} {stream.stream_name}: {', '.join(stream.subjects)} as {stream.kind}{tables}{off}")
    if not settings.enabled:
        echo("not enabled: `run` exits immediately; set EVENT_WRITER_ENABLED=true, or enabled = true in the file")


@config.command()
@click.pass_obj
def enabled(path: str | None) -> int:
    """
    Report by the exit code whether the daemon is enabled, for systemd's ExecCondition.

    0: enabled. 100: deliberately not enabled, so the unit is skipped. 2: the configuration is invalid; every mistake
    is printed on stderr. Any other code means that the installation is broken.
    """
    loaded = load(path, os.environ)
    if not loaded.settings.enabled:
        echo(
            f"eventwriter is not enabled ({loaded.source} and the environment):"
            " set EVENT_WRITER_ENABLED=true, or enabled = true in the file"
        )
    return 0 if loaded.settings.enabled else EXIT_NOT_ENABLED


@config.command()
def schema() -> None:
    """Print the JSON schema of the configuration, for editors."""
    from eventwriter.config.describe import schema as json_schema

    echo_json(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@config.command()
def example() -> None:
    """Print an annotated example configuration."""
    from importlib.resources import files

    echo_code(files("eventwriter.config").joinpath("example.toml").read_text(encoding="utf-8"), nl=False)


@config.command()
def reference() -> None:
    """Print the reference of all keys and environment variables in Markdown."""
    from eventwriter.config.describe import reference as reference_text

    echo_code(reference_text(), nl=False)


def warn(loaded: Loaded) -> None:
    """Print the warnings of the configuration on stderr."""
    for warning in loaded.warnings:
        echo(f"warning: {warning}", err=True)

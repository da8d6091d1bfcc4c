"""`eventwriter config`: what is set, whether it can be used, and what there is to set."""

import json
import os

import click

from eventwriter.cli.load_runtime import load_to_run
from eventwriter.config.load import Loaded, load
from eventwriter.errors import ConfigError

EXIT_NOT_ENABLED, EXIT_BROKEN = 1, 255  # systemd.service(5), ExecCondition=: 1 to 254 skip, 255 fails


@click.group()
@click.option("--config", "config_path", metavar="FILE", help="As `eventwriter --config`.")
@click.pass_context
def config(ctx: click.Context, config_path: str | None) -> None:
    """Show, validate, describe the configuration."""
    ctx.obj = config_path or ctx.obj


@config.command()
@click.pass_obj
def show(path: str | None) -> None:
    """
    Print the settings in effect as JSON; secrets as asterisks.

    What is printed is a configuration file itself, but for the secrets.
    """
    from eventwriter.config.describe import effective

    loaded = load(path, os.environ)
    warn(loaded)
    click.echo(f"from {loaded.source} and the environment", err=True)
    click.echo(json.dumps(effective(loaded.settings), indent=2, ensure_ascii=False))


@config.command()
@click.argument("file", required=False)
@click.pass_obj
def validate(path: str | None, file: str | None) -> None:
    """
    Name every mistake of FILE.

    Without FILE, of the one in effect. Exit code 0 where there is none, else 2.
    The environment counts as it would for `run`. Servers are not asked: whether
    streams and tables exist, `run` says.
    """
    loaded = load_to_run(file or path, os.environ)
    warn(loaded)
    settings = loaded.settings
    click.echo(f"{loaded.source}: can be used")
    for stream in settings.streams:
        tables = f" → {', '.join(stream.tables)}" if stream.tables else ""
        off = "" if stream.enabled else " (not enabled)"
        click.echo(
            f"  {stream.name:<14} {stream.stream_name}: {', '.join(stream.subjects)} as {stream.kind}{tables}{off}"
        )
    if not settings.enabled:
        click.echo(
            "not enabled: `run` would end at once; set EVENT_WRITER_ENABLED=true, or enabled to true in the file"
        )


@config.command()
@click.pass_obj
def enabled(path: str | None) -> int:
    """
    Say by the exit code whether `run` would run.

    0: enabled. 1: not enabled. 255: the configuration cannot be used, with every
    mistake on stderr. As systemd's ExecCondition wants it: 1 skips the unit, 255
    makes it fail.
    """
    from eventwriter.cli.main import tell

    try:
        loaded = load(path, os.environ)
    except ConfigError as error:
        tell(error, "eventwriter")
        return EXIT_BROKEN
    if not loaded.settings.enabled:
        click.echo(
            f"eventwriter is not enabled ({loaded.source} and the environment):"
            " set EVENT_WRITER_ENABLED=true, or enabled to true in the file"
        )
    return 0 if loaded.settings.enabled else EXIT_NOT_ENABLED


@config.command()
def schema() -> None:
    """Print the JSON schema, for editors."""
    from eventwriter.config.describe import schema as described

    click.echo(json.dumps(described(), indent=2, ensure_ascii=False))


@config.command()
def example() -> None:
    """Print an annotated example file."""
    from importlib.resources import files

    click.echo(files("eventwriter.config").joinpath("example.toml").read_text(encoding="utf-8"), nl=False)


@config.command()
def reference() -> None:
    """Print the manual of every key and variable, in Markdown."""
    from eventwriter.config.describe import reference as described

    click.echo(described(), nl=False)


def warn(loaded: Loaded) -> None:
    """Say on stderr what is worth a word."""
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)

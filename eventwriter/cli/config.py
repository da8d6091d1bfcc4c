"""`eventwriter config`: what is set, whether it can be used, and what there is to set."""

import json
import os

import click

from eventwriter.config.load import load
from eventwriter.config.settings import Settings


@click.group()
@click.option("--config", "config_path", metavar="FILE", help="As `eventwriter --config`.")
@click.pass_context
def config(ctx: click.Context, config_path: str | None) -> None:
    """Show, validate, describe the configuration."""
    ctx.obj = config_path or ctx.obj


@config.command()
@click.pass_obj
def show(path: str | None) -> None:
    """Print the settings in effect as JSON; secrets as asterisks."""
    loaded = load(path, os.environ)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(loaded.settings.model_dump_json(indent=2))


@config.command()
@click.argument("file", required=False)
@click.pass_obj
def validate(path: str | None, file: str | None) -> None:
    """Name every mistake of FILE (default: the one in effect); exit 0 where there is none, 2 otherwise."""
    loaded = load(file or path, os.environ)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{loaded.source}: can be used; slots: {', '.join(map(str, loaded.settings.slots()))}")


@config.command()
def schema() -> None:
    """Print the settings' JSON schema: every key, its type and default."""
    click.echo(json.dumps(Settings.model_json_schema(by_alias=True), indent=2))


@config.command()
def example() -> None:
    """Print an annotated example file."""
    from importlib.resources import files

    click.echo(files("eventwriter.config").joinpath("example.toml").read_text(encoding="utf-8"), nl=False)

"""The command `eventwriter-ctl`, which talks to a running daemon over its control socket."""

import sys

import click

from eventwriter import __version__
from eventwriter.cli.ctl.common import lines
from eventwriter.cli.lazy_group import CommandTable, LazyGroup
from eventwriter.cli.main import run_command
from eventwriter.cli.output import print_traceback

_CTL = "eventwriter.cli.ctl"
COMMANDS: CommandTable = {
    "status": (f"{_CTL}.status", "status", "Show servers, totals and every slot."),
    "top": (f"{_CTL}.watch", "top_command", "Show live how each slot spends its time."),
    "stat": (f"{_CTL}.watch", "stat", "Print one line per second, as vmstat does."),
    "lag": (f"{_CTL}.watch", "lag_command", "Show the position of each slot on both servers."),
    "streams": (f"{_CTL}.watch", "streams_command", "Show the streams and the slots that read them."),
    "ping": (f"{_CTL}.daemon", "ping", "Test whether the daemon answers."),
    "check": (f"{_CTL}.check", "check", "Print one line and an exit code for Nagios."),
    "verify": (f"{_CTL}.verify", "verify_command", "Prove that no message is lost or duplicated."),
    "dlq": (f"{_CTL}.dlq.main", "dlq", "Inspect and replay dead letters."),
    "pause": (f"{_CTL}.control", "pause", "Stop pulling messages until resume."),
    "resume": (f"{_CTL}.control", "resume", "Resume paused or drained slots."),
    "drain": (f"{_CTL}.control", "drain", "Settle messages in flight and stop workers."),
    "restart": (f"{_CTL}.control", "restart", "Drain and start workers again."),
    "scale": (f"{_CTL}.control", "scale", "Set the number of workers of a stream."),
    "reload": (f"{_CTL}.control", "reload", "Reload the configuration."),
    "log-level": (f"{_CTL}.control", "log_level", "Change the log level."),
    "tap": (f"{_CTL}.inspect", "tap", "Show samples of the messages that are processed."),
    "stacks": (f"{_CTL}.inspect", "stacks", "Show the stacks of a worker's threads and tasks."),
    "stop": (f"{_CTL}.daemon", "stop", "Drain all slots and stop the daemon."),
    "support-dump": (f"{_CTL}.inspect", "support_dump", "Write a support bundle."),
    "completion": (f"{_CTL}.inspect", "completion", "Print completion code for bash, zsh or fish."),
}
_SOCKET_HELP = "Control socket of the daemon. Default: that of the configuration."
_CONFIG_HELP = "Configuration file of the daemon, which names its control socket."


class CtlGroup(LazyGroup):
    """Group whose subcommands accept the options of the group, too."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one subcommand with the options of the group."""
        command = super().get_command(ctx, cmd_name)
        for leaf in command.commands.values() if isinstance(command, click.Group) else [command]:
            if leaf is not None:
                add_connection_options(leaf)
        return command


def add_connection_options(command: click.Command) -> None:
    """Add --socket and --config to a subcommand, unless it has them; a value overrides that of the group."""
    known = {name for parameter in command.params for name in parameter.opts}
    for option, name, metavar, text in (
        ("--socket", "path", "PATH", _SOCKET_HELP),
        ("--config", "config", "FILE", _CONFIG_HELP),
    ):
        if option not in known:
            command.params.append(
                click.Option(
                    [option, f"root_{name}"], metavar=metavar, help=text, expose_value=False, callback=_override_group
                )
            )


def _override_group(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.find_root().params[str(parameter.name).removeprefix("root_")] = value


@click.group(
    cls=CtlGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=lines(
        "eventwriter-ctl status --watch",
        "eventwriter-ctl top",
        "eventwriter-ctl tap NETFLOW --stage row --limit 3",
        'eval "$(eventwriter-ctl completion bash)"',
    ),
)
@click.option("--socket", "path", metavar="PATH", help=_SOCKET_HELP)
@click.option("--config", metavar="FILE", help=_CONFIG_HELP)
@click.version_option(__version__, prog_name="eventwriter-ctl")
def cli(path: str | None, config: str | None) -> None:
    """
    Inspect and control a running eventwriter daemon.

    --socket and --config may stand before or after the command.

    Exit codes of status: 0 healthy, 1 degraded or starting, 2 failing, 3 unreachable.
    """


def main() -> None:
    """Entry point of `eventwriter-ctl`."""
    sys.excepthook = print_traceback
    sys.exit(run_command(cli, sys.argv[1:], "eventwriter-ctl"))

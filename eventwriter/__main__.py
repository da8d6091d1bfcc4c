"""Entry point of `python -m eventwriter`, which equals the command `eventwriter`."""

from eventwriter.cli.main import main

main()

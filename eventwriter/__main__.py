"""`python -m eventwriter` is `eventwriter`."""

from eventwriter.cli.main import main

main()

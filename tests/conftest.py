"""Fixtures are plugins by subject."""

pytest_plugins = ("fix_servers", "fix_daemon", "fix_nats", "fix_postgres", "fix_line", "fix_books")

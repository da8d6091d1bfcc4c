"""Tests of the consistency between the registry of kinds and the configuration."""

from eventwriter.config import settings
from eventwriter.kinds import registry


def test_configuration_allows_exactly_the_registered_kinds() -> None:
    """The configuration allows exactly the registered kinds, each under its own name."""
    assert set(settings.KINDS) == set(registry.KINDS)
    assert [*registry.KINDS] == [kind.name for kind in registry.KINDS.values()]


def test_configuration_has_default_tables_of_each_kind() -> None:
    """The default tables in the configuration are those of the registered kinds."""
    assert settings.DEFAULT_TABLES == {
        name: tuple(table.name for table in kind.tables) for name, kind in registry.KINDS.items() if kind.tables
    }

"""The table of kinds, and what the configuration believes of it."""

from eventwriter.config import settings
from eventwriter.kinds import registry


def test_names_of_kinds_are_the_same_everywhere() -> None:
    """What the configuration admits is what there is, each kind under its own name."""
    assert set(settings.KINDS) == set(registry.KINDS)
    assert [*registry.KINDS] == [kind.name for kind in registry.KINDS.values()]


def test_default_tables_are_the_same_everywhere() -> None:
    """The tables that the configuration believes a kind to have are those that it has."""
    assert settings.DEFAULT_TABLES == {
        name: tuple(table.name for table in kind.tables) for name, kind in registry.KINDS.items() if kind.tables
    }

"""The table of kinds."""

import pytest

from eventwriter.kinds import names, registry


def test_every_name_has_a_kind() -> None:
    """The registry defines exactly the kinds of `names`, each under its own name."""
    assert [*names.KINDS] == [*registry.KINDS] == [kind.name for kind in registry.KINDS.values()]


@pytest.mark.parametrize("name", names.KINDS)
def test_every_table_of_a_kind_has_a_definition(name: str) -> None:
    """A kind has the definitions of the tables that `names` lists, in their order."""
    kind = registry.KINDS[name]

    assert names.KINDS[name].tables == tuple(table.name for table in kind.tables)
    assert names.KINDS[name].optional_tables == tuple(table.name for table in kind.also)


def test_kind_of_a_table_can_write_it() -> None:
    """A table implies a kind that lists it, and every listed table implies a kind."""
    listed = {name: {*kind.tables, *kind.optional_tables} for name, kind in names.KINDS.items()}

    assert [] == [table for table, kind in names.KIND_OF_TABLE.items() if table not in listed[kind]]
    assert {*names.KIND_OF_TABLE} == set().union(*listed.values())

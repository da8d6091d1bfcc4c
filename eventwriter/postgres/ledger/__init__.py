"""The ledger of committed stream sequences, and queries that verify it."""

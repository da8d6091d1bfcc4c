"""Dead letters in PostgreSQL: the record and its store."""

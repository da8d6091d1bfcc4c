"""SQL files only; `postgres.migrate.files` reads them. A file that was released is never changed."""

"""SQL files only; `postgres.migration_files` reads them. A file that was released is never changed."""

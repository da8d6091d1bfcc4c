"""Real tables compared with our definitions: columns, types, unique keys."""

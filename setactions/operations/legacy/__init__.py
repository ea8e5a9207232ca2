"""The import from the old dashboard's two SQLite files."""

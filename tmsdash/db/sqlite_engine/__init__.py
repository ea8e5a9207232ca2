"""Django's SQLite with fewer steps around each statement: what a database's ENGINE names."""

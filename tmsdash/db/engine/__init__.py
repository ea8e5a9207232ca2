"""Django's PostgreSQL with a pool of ours: what a database's ENGINE names."""

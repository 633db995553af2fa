"""The store: one SQLite file, how it is laid out, filled and asked."""

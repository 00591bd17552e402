"""The database file of a store: its connection, its versions, its key, and what changed in it."""

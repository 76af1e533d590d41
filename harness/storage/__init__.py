"""What a run keeps: the store, identities, executors, and the one cached map."""

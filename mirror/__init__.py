"""The mirror: catalogue, lock, fetch, store, release. Knows nothing of clusters."""

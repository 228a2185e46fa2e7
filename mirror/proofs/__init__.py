"""Proofs that a release is complete: real clients, cut off from everything but the mirror."""

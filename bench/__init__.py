"""Measurements: what ours costs beside what people use otherwise, in one run on one machine."""

"""Everything that proves the rest, by layers (see :mod:`tests.layers`)."""

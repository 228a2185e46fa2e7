"""The Invoke namespace, assembled from each room's own tasks; nothing else happens here."""

from __future__ import annotations

from invoke.collection import Collection

ns = Collection()

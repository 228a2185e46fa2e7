"""Turn a locked file's source into addresses, asking pip, Maven and apt at most once and only if needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from core import console
from core.errors import InternalError, UpstreamError, UsageError
from mirror import apt_machine, maven_settings, python_index
from mirror.fetch import Fetcher
from mirror.locations import Location
from mirror.manners import apache_bytes
from mirror.maven import parse_coordinate


class Upstreams:
    """The outside world as the user's own settings reach it. Safe for several threads."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.fetcher = fetcher
        self._lock = threading.RLock()
        self._repositories: tuple[maven_settings.Repository, ...] | None = None
        self._settings: python_index.Settings | None = None
        self._projects: dict[str, tuple[python_index.IndexFile, ...]] = {}
        self._apt: apt_machine.Settings | None = None
        self._suites: dict[tuple[str, ...], tuple[apt_machine.Repository, ...]] = {}

    def repositories(self) -> tuple[maven_settings.Repository, ...]:
        """Return Maven's effective repositories."""
        with self._lock:
            if self._repositories is None:
                console.say("   asking Maven for its effective repositories")
                self._repositories = maven_settings.repositories()
            return self._repositories

    def project(self, name: str) -> tuple[python_index.IndexFile, ...]:
        """Return what the Python indexes list for project ``name``."""
        with self._lock:
            if name not in self._projects:
                settings = self.index_settings()
                self._projects[name] = python_index.project_files(self.fetcher, settings, name)
            return self._projects[name]

    def index_settings(self) -> python_index.Settings:
        """Return pip's effective indexes (they hold credentials: never print them)."""
        with self._lock:
            if self._settings is None:
                self._settings = python_index.settings()
            return self._settings

    def index_file(self, project: str, filename: str) -> python_index.IndexFile | None:
        """Return the index's line for ``filename``, or None when no index lists it."""
        return next((item for item in self.project(project) if item.filename == filename), None)

    def suite(self, suite: str, components: Sequence[str], filename: str) -> tuple[Location, ...]:
        """Return where apt's sources of ``suite`` have the file ``filename`` (relative to a repository)."""
        with self._lock:
            if self._apt is None:
                self._apt = apt_machine.Settings()
            key = (suite, *components)
            if key not in self._suites:
                self._suites[key] = apt_machine.repositories([suite], components)
            return tuple(self._apt.location(found.uri + filename) for found in self._suites[key])

    def locations(self, source: Mapping[str, Any], name: str) -> tuple[Location, ...]:
        """Return where the file with this ``source`` may be had, in order.

        Raises UpstreamError when no index lists it, UsageError when the lock's source is damaged.
        """
        try:
            return self._locations(source, name)
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(
                f"{name}: its source in the lock is damaged ({error})", "restore the lock from git"
            ) from error

    def _locations(self, source: Mapping[str, Any], name: str) -> tuple[Location, ...]:
        kind = source["kind"]
        if kind == "maven":
            coordinate = parse_coordinate(source["coordinate"])
            return tuple(repository.locate(coordinate) for repository in self.repositories())
        if kind == "python":
            listed = self.index_file(source["project"], source["filename"])
            if listed is None:
                raise UpstreamError(
                    f"{name}: no Python index lists {source['filename']}",
                    "check pip's index-url, or lock again if upstream withdrew it",
                )
            return (listed.location,)
        if kind == "deb":
            return self.suite(source["suite"], source["components"], source["filename"])
        if kind == "url":
            return (Location(str(source["url"])),)
        if kind == "apache":
            return tuple(Location(f"{base}/{source['path']}") for base in apache_bytes())
        raise InternalError(f"{name}: nothing can be fetched for a source of kind {kind!r}")

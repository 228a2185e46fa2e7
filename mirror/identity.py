"""What a locked file is, in the words of package URLs: type, namespace, name, version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mirror.lockfile import LockedFile

if TYPE_CHECKING:
    from packageurl import PackageURL


@dataclass(frozen=True)
class Identity:
    """``kind`` is a package URL's type: maven, pypi, deb or generic. ``version`` is "" if unknown."""

    kind: str
    group: str
    name: str
    version: str
    qualifiers: Mapping[str, str] = field(default_factory=dict)

    def purl(self) -> PackageURL:
        """Return the package URL (github.com/package-url/purl-spec)."""
        from packageurl import PackageURL

        return PackageURL(
            self.kind, self.group or None, self.name, self.version or None, dict(self.qualifiers) or None
        )


def of(item: LockedFile) -> Identity:
    """Return what ``item`` is; a source that says too little makes it a generic file of its name."""
    source = item.source
    coordinate = str(source.get("coordinate", "")).split(":")
    if len(coordinate) in (4, 5):
        group, name, extension, version = *coordinate[:3], coordinate[-1]
        more = {"type": extension} if extension != "jar" else {}
        more |= {"classifier": coordinate[3]} if len(coordinate) == 5 else {}
        return Identity("maven", group, name, version, more)
    if source.get("project"):
        more = {"file_name": item.name}
        return Identity("pypi", "", str(source["project"]), _python_version(item.name), more)
    if source.get("package"):
        keys = {"arch": source.get("architecture", ""), "distro": source.get("suite", "")}
        more = {key: str(value) for key, value in keys.items() if value}
        return Identity("deb", "debian", str(source["package"]), str(source.get("version", "")), more)
    if source["kind"] == "assembly":
        return Identity("generic", "", str(source.get("recipe", item.name)), str(source.get("version", "")))
    return Identity("generic", "", item.name, str(source.get("version", "")), {"file_name": item.name})


def _python_version(filename: str) -> str:
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidWheelFilename, InvalidSdistFilename):
        return ""

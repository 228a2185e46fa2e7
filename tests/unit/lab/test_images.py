from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab import images


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    shutil.copytree(images.RECIPES, folder)
    return folder


def test_every_image_has_packages_or_files_and_a_tag_of_its_own() -> None:
    names = [path.name for path in images.RECIPES.iterdir()]
    tags = {name: images.recipe(name).tag for name in names}
    assert len(set(tags.values())) == len(names)
    assert all(tag.startswith(f"{images.REPOSITORY}:{name}-") for name, tag in tags.items())
    assert "systemd" in images.recipe("base").packages


def test_comments_are_no_packages() -> None:
    assert not [package for package in images.recipe("base").packages if "#" in package or " " in package]


def test_a_changed_file_changes_the_tag_of_its_image_and_of_its_children_only(recipes: Path) -> None:
    before = {path.name: images.recipe(path.name, recipes).tag for path in recipes.iterdir()}
    listing = recipes / "node" / "packages"
    listing.write_text(listing.read_text() + "strace\n")
    after = {path.name: images.recipe(path.name, recipes).tag for path in recipes.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"node", "edge", "kafka"}


def test_a_changed_mode_changes_the_tag(recipes: Path) -> None:
    before = images.recipe("kafka", recipes).tag
    (recipes / "kafka" / "root" / "usr" / "local" / "bin" / "kafka-format").chmod(0o644)
    assert images.recipe("kafka", recipes).tag != before

"""A moved, changed or vanished source is noticed, file by file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.datasets.checking import check_sources
from keepwell.datasets.model import Form, Manifest, Part, SourceFile
from keepwell.datasets.sources import scan


def made(folder: Path, pattern: str = "in") -> Manifest:
    return Manifest(patterns=[pattern], folder=str(folder), files=scan([pattern], folder))


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        place = folder / "in" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def happened(folder: Path, manifest: Manifest) -> list[tuple[str, str]]:
    found = check_sources(manifest)
    assert found.whole == all(one.happened == "new" for one in found.noticed)
    return [(Path(one.uri).name, one.happened) for one in found.noticed]


def test_each_happening_is_named(tmp_path: Path) -> None:
    write(tmp_path, a="1", b="22", c="333", d="4444", e="5")
    manifest = made(tmp_path)
    assert happened(tmp_path, manifest) == []
    write(tmp_path, b="changed", f="new")
    (tmp_path / "in/c").unlink()
    (tmp_path / "in/d").rename(tmp_path / "in/moved")
    os.utime(tmp_path / "in/e")
    assert happened(tmp_path, manifest) == [("b", "changed"), ("c", "vanished"), ("d", "moved"), ("f", "new")]
    noticed = {Path(one.uri).name: one for one in check_sources(manifest).noticed}
    assert noticed["d"].to == str(tmp_path / "in/moved")
    assert noticed["c"].sentence == f"{tmp_path}/in/c is gone."
    assert "2 bytes" in noticed["b"].sentence


def test_the_whole_folder_can_go(tmp_path: Path) -> None:
    write(tmp_path, a="1", b="2")
    manifest = made(tmp_path)
    (tmp_path / "in").rename(tmp_path / "out")
    assert happened(tmp_path, manifest) == [("a", "vanished"), ("b", "vanished")]


def test_two_files_alike_are_not_one_move(tmp_path: Path) -> None:
    write(tmp_path, a="same", b="same")
    manifest = made(tmp_path)
    (tmp_path / "in/a").rename(tmp_path / "in/c")
    (tmp_path / "in/b").unlink()
    assert happened(tmp_path, manifest) == [("a", "moved"), ("b", "vanished")]


def test_new_files_that_arrived_otherwise_are_no_news(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    manifest = made(tmp_path)
    write(tmp_path, b="2")
    digests = {file.sha256 for file in scan(["in"], tmp_path)}
    assert check_sources(manifest, arrived=digests).noticed == []


def test_files_outside_of_the_patterns_are_looked_at_too(tmp_path: Path) -> None:
    write(tmp_path, a="1")
    (tmp_path / "shops.csv").write_text("x")
    source, joined = scan(["in/a"], tmp_path)[0], scan(["shops.csv"], tmp_path)
    part = Part(blob="sha256:" + "0" * 64, rows=1, seq=1, arrival="arr", source=source, joined=joined)
    published = Part(blob="b", rows=1, seq=2, arrival="x", source=SourceFile("keepwell:scoring", 0, 0, 0, "s"))
    manifest = Manifest(patterns=["in"], folder=str(tmp_path), form=Form(time="t"), parts=[part, published])
    assert happened(tmp_path, manifest) == []
    (tmp_path / "shops.csv").write_text("y")
    assert happened(tmp_path, manifest) == [("shops.csv", "changed")]
    (tmp_path / "shops.csv").unlink()
    assert happened(tmp_path, manifest) == [("shops.csv", "vanished")]


_TREE = st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["", "x", "yy", "zz"]), min_size=1)


@given(_TREE, _TREE)
@settings(deadline=None, max_examples=60)
def test_any_two_trees(tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], after: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("tree")
    write(folder, **before)
    manifest = made(folder)
    for name in before.keys() - after.keys():
        (folder / "in" / name).unlink()
    write(folder, **{name: text for name, text in after.items() if before.get(name) != text})
    found = dict(happened(folder, manifest))
    for name, text in before.items():
        if after.get(name) == text:
            assert name not in found
        elif name in after:
            assert found[name] == "changed"
        else:
            assert found[name] in ("moved", "vanished")
    moved = sum(kind == "moved" for kind in found.values())
    new = [name for name in after if name not in before and after[name] not in before.values()]
    assert all(found[name] == "new" for name in new)
    assert moved <= len(after.keys() - before.keys())

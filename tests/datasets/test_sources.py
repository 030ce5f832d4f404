"""Which files a pattern names, when they are digested again, and what is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.datasets import sources
from keepwell.datasets.sources import natural, read_source, scan


def write(folder: Path, *names: str) -> None:
    for name in names:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)


def named(folder: Path, *patterns: str) -> list[str]:
    return [str(Path(file.uri).relative_to(folder)) for file in scan(patterns, folder)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.csv", ["a.csv"]),
        ("in", ["in/b.csv", "in/deep/c.csv", "in/deep/d.txt"]),
        ("in/", ["in/b.csv", "in/deep/c.csv", "in/deep/d.txt"]),
        ("*.csv", ["a.csv"]),
        ("in/*", ["in/b.csv"]),
        ("in/*.csv", ["in/b.csv"]),
        ("in/*/c.csv", ["in/deep/c.csv"]),
        ("**/*.csv", ["a.csv", "in/b.csv", "in/deep/c.csv"]),
        ("in/**", ["in/b.csv", "in/deep/c.csv", "in/deep/d.txt"]),
        ("in/de?p/[cd].*", ["in/deep/c.csv", "in/deep/d.txt"]),
        ("[x].csv", ["[x].csv"]),
        ("./in/../a.csv", ["a.csv"]),
        ("none*.csv", []),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    write(tmp_path, "a.csv", "in/b.csv", "in/deep/c.csv", "in/deep/d.txt", ".hidden.csv", "in/.part/e.csv")
    if pattern == "[x].csv":
        write(tmp_path, "[x].csv")
    assert named(tmp_path, pattern) == expected


def test_patterns_together_name_each_file_once(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "b.csv")
    assert named(tmp_path, "b.csv", "*.csv") == ["a.csv", "b.csv"]


_NAME = st.text("ab.c", min_size=1, max_size=3).filter(lambda name: name[0] != ".")


@given(st.sets(st.lists(_NAME, min_size=1, max_size=3).map("/".join), max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_globs_name_what_pathlib_names(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("glob")
    for name in sorted(names):
        place = folder / name
        if not any(parent.is_file() for parent in place.parents) and not place.exists():
            write(folder, name)
    pieces = st.lists(st.sampled_from(["*", "?", "a*", "*.c", "[ab]*", "a", "b", "**"]), min_size=1, max_size=3)
    pattern = "/".join(data.draw(pieces))
    if "*" not in pattern and "?" not in pattern:
        return
    if pattern.split("/")[-1] == "**":
        pattern += "/*"
    base = folder / pattern.split("*", maxsplit=1)[0].rpartition("/")[0]
    if not base.is_dir() or (folder / pattern).exists():
        return
    expected = sorted(str(p) for p in folder.glob(pattern) if p.is_file() and "/." not in str(p))
    assert [file.uri for file in scan([pattern], folder)] == expected


def test_digests_are_of_the_content(tmp_path: Path) -> None:
    sizes = (0, 1, sources._BUFFER - 1, sources._BUFFER, sources._BUFFER + 1, 5 * sources._BUFFER, 6 * sources._BUFFER)
    for size in sizes:
        (tmp_path / f"{size}.bin").write_bytes(os.urandom(size))
    for file in scan(["*.bin"], tmp_path):
        assert file.sha256 == "sha256:" + hashlib.sha256(Path(file.uri).read_bytes()).hexdigest()
        assert file.size == Path(file.uri).stat().st_size


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.csv", "b.csv")
    known = {file.uri: file for file in scan(["*.csv"], tmp_path)}
    (tmp_path / "b.csv").write_text("other")
    read: list[str] = []
    digest = sources._digest
    monkeypatch.setattr(sources, "_digest", lambda item: read.append(item[0]) or digest(item))
    again = scan(["*.csv"], tmp_path, known=known)
    assert read == [str(tmp_path / "b.csv")]
    assert [file.uri in known and file == known[file.uri] for file in again] == [True, False]


def test_a_change_that_hides_its_size_and_time_is_seen(tmp_path: Path) -> None:
    write(tmp_path, "a.csv")
    before = (tmp_path / "a.csv").stat()
    known = {file.uri: file for file in scan(["a.csv"], tmp_path)}
    (tmp_path / "a.csv").write_text("b.csv")
    os.utime(tmp_path / "a.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert scan(["a.csv"], tmp_path, known=known)[0].sha256 != known[str(tmp_path / "a.csv")].sha256


@pytest.mark.parametrize("pattern", ["in/out.csv", "in", "in/*", "in/**/*.csv", "in/up/secret.csv"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, "secret.csv", "in/a.csv")
    (tmp_path / "in/out.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "in/up").symlink_to(tmp_path)
    if pattern == "in/up/secret.csv":  # a folder that is named is where the link leads: named on purpose
        assert len(scan([pattern], tmp_path)) == 1
        return
    with pytest.raises(InvalidInput, match="leads out of the folder"):
        scan([pattern], tmp_path)


def test_a_folder_beside_with_the_same_beginning_is_outside(tmp_path: Path) -> None:
    write(tmp_path, "in/a.csv", "in-secret/b.csv")
    (tmp_path / "in/b.csv").symlink_to(tmp_path / "in-secret/b.csv")
    with pytest.raises(InvalidInput, match="leads out"):
        scan(["in"], tmp_path)


def test_links_inside_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, "in/deep/a.csv")
    (tmp_path / "in/b.csv").symlink_to(tmp_path / "in/deep/a.csv")
    (tmp_path / "in/deep/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/again").symlink_to(tmp_path / "in/deep")
    found = named(tmp_path, "in")
    assert {"in/b.csv", "in/deep/a.csv"} <= set(found)
    assert len(found) <= 3


def test_links_that_lead_nowhere_or_to_no_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "in/a.csv")
    (tmp_path / "in/gone.csv").symlink_to(tmp_path / "in/nothing")
    with pytest.raises(NotFound, match="leads to nothing"):
        scan(["in"], tmp_path)


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InvalidInput, match="not a regular file"):
        scan(["*.csv"], tmp_path)


@pytest.mark.parametrize("pattern", ["", "a\0b"])
def test_patterns_that_cannot_be_used(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(InvalidInput):
        scan([pattern], tmp_path)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/\xe9.csv", os.O_CREAT))
    with pytest.raises(InvalidInput, match="not UTF-8"):
        scan(["*.csv"], tmp_path)


@pytest.mark.parametrize("pattern", ["none.csv", "none/*.csv"])
def test_what_is_not_there_is_an_error_unless_it_may_come(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(NotFound):
        scan([pattern], tmp_path)
    assert scan([pattern], tmp_path, missing_ok=True) == []


def test_a_file_that_is_written_while_it_is_read_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.csv", "b.csv")
    read = os.read

    def growing(handle: int, size: int) -> bytes:
        data = read(handle, size)
        if data.startswith(b"a.csv"):
            with (tmp_path / "a.csv").open("a") as file:
                file.write("more")
        return data

    monkeypatch.setattr(os, "read", growing)
    with pytest.raises(Conflict, match="is being written"):
        scan(["*.csv"], tmp_path)
    assert [Path(f.uri).name for f in scan(["*.csv"], tmp_path, skip_busy=True)] == ["b.csv"]


def test_reading_asks_for_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path, "a.csv")
    file = scan(["a.csv"], tmp_path)[0]
    assert read_source(file) == b"a.csv"
    (tmp_path / "a.csv").unlink()
    with pytest.raises(NotFound):
        read_source(file)


def test_names_sort_as_people_count() -> None:
    names = ["week_10.csv", "week_9.csv", "week_2b.csv", "2012.csv", "a.csv"]
    assert sorted(names, key=natural) == ["2012.csv", "a.csv", "week_2b.csv", "week_9.csv", "week_10.csv"]

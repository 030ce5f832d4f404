"""A page cannot name what is not there: commands, options, links, files, functions, charters."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from keepwell.charter.parse import check_charter
from keepwell.cli import COMMANDS, module_of

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "keepwell"
DOCS = ROOT / "docs"
TOP = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")]
PAGES = [*TOP, *sorted(DOCS.rglob("*.md"))]
COMMON = {"--home", "--json", "--help", "--version"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def command(name: str) -> click.Command:
    return importlib.import_module(module_of(name)).command


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its path."""

    def below(path: tuple[str, ...], found: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        if isinstance(found, click.Group):
            for name, part in found.commands.items():
                yield from below((*path, name), part)
        else:
            yield path, found

    for name in sorted(COMMANDS):
        yield from below((name,), command(name))


def prose_and_code(page: Path) -> tuple[str, list[str]]:
    """The text of a page without its blocks of code, and the lines of those blocks."""
    prose: list[str] = []
    code: list[str] = []
    fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            code.append(line.strip())
        else:
            prose.append(line)
    return "\n".join(prose), code


def quoted_commands(page: Path) -> list[str]:
    """What a page quotes of the command line, in blocks and in the middle of a sentence."""
    prose, code = prose_and_code(page)
    inline = re.findall(r"`(keepwell [^`]+)`", prose)
    lines = (line.removeprefix(".venv/bin/") for line in code)
    return [re.split(r"\s+#|\s+[|<>]\s", text)[0] for text in [*lines, *inline] if text.startswith("keepwell ")]


def resolve(text: str) -> tuple[click.Command, list[str]]:
    """Follow a quoted command to what it names, and return what is left of it."""
    words = re.sub(r"[\[\]]", " ", text).replace("'", "").split()[1:]
    assert words, text
    if words[0].startswith("-"):
        return click.Command("keepwell"), words
    assert words[0] in COMMANDS, f"there is no command {words[0]!r}: {text}"
    found = command(words.pop(0))
    while isinstance(found, click.Group) and words:
        assert words[0] in found.commands, f"there is no command {words[0]!r}: {text}"
        found = found.commands[words.pop(0)]
    return found, words


@pytest.mark.parametrize("page", [p for p in PAGES if quoted_commands(p)], ids=named)
def test_every_quoted_command_and_option_exists(page: Path) -> None:
    for text in quoted_commands(page):
        found, words = resolve(re.sub(r"\w+(?:\|\w+)+", lambda m: m[0].split("|")[0], text))
        known = COMMON | {o for p in found.params for o in (*p.opts, *p.secondary_opts)}
        for word in words:
            option = word.split("=")[0].rstrip(",.;:")
            assert not option.startswith("-") or option in known, f"{named(page)}: no option {option}: {text}"


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "quickstart.md"], ids=named)
def test_what_a_newcomer_types_has_all_that_its_command_wants(page: Path) -> None:
    for text in quoted_commands(page):
        if "..." in text:
            continue
        found, words = resolve(text)
        if not isinstance(found, click.Group):
            found.make_context("keepwell", shlex.split(" ".join(words)), ignore_unknown_options=False)


def test_the_reference_has_every_command() -> None:
    told = {" ".join(line.split()) for line in prose_and_code(DOCS / "cli.md")[1]}
    for path, _ in commands():
        text = " ".join(("keepwell", *path))
        assert any(line == text or line.startswith(f"{text} ") for line in told), f"docs/cli.md does not tell of {text}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    prose = prose_and_code(page)[0]
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        place = (page.parent / target.partition("#")[0]).resolve()
        assert place.exists(), f"{named(page)} links to {target}"
        inside = place.is_relative_to(DOCS) or not page.is_relative_to(DOCS)
        assert inside, f"{named(page)} links out of the site: {target}"


def test_every_place_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    planned = {"client/", "features/"}
    alike = {"model.py", "rules.py", "store.py", "service.py"}
    places = re.findall(r"`((?:[\w.]+/)+[\w.]*|\w+\.(?:py|toml|md|yaml))(?::(\w+))?`", text)
    assert len(places) > 30
    for place, name in places:
        if place in planned | alike:
            continue
        found = next((base / place for base in (SOURCE, ROOT) if (base / place).exists()), None)
        assert found is not None, f"ARCHITECTURE.md names {place}"
        if name:
            tree = ast.parse(found.read_text(encoding="utf-8"))
            defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
            assert name in defined, f"ARCHITECTURE.md names {place}:{name}"


def test_the_architecture_is_one_page() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("page", [ROOT / "README.md", DOCS / "quickstart.md"], ids=named)
def test_every_charter_shown_to_a_newcomer_is_good(page: Path) -> None:
    shown = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    for text in shown:
        charter, findings = check_charter(text)
        assert charter is not None
        assert findings == []


def test_the_readme_says_how_to_test_and_what_is_missing() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "./run test" in text
    assert "./run demo" in text
    for missing in ("online serving", "replay", "roles beyond the owner", "PostgreSQL", "Ray"):
        assert missing in " ".join(text.split())
    for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        assert (ROOT / image).is_file()


def test_the_script_is_plain_sh() -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    if shell is None:
        pytest.skip("no sh on this machine")
    subprocess.run([shell, "-n", str(ROOT / "run")], check=True, timeout=20)


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed (extra: docs)")
    site = tmp_path / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=[\"'](?:https?:)?//", text), page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name

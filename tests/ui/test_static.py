from __future__ import annotations

import hashlib
import re
from importlib import resources

import pytest

FOLDER = resources.files("keepwell.server.ui")
VENDORED = re.findall(
    r"^\| (\S+) \| .* \| ([0-9a-f]{64}) \|$", (FOLDER / "static" / "VENDOR.md").read_text(encoding="utf-8"), re.M
)
TEMPLATES = sorted((f for f in (FOLDER / "templates").iterdir() if f.name.endswith(".html")), key=lambda f: f.name)


@pytest.mark.parametrize(("name", "digest"), VENDORED)
def test_vendored_files_are_what_they_were(name: str, digest: str) -> None:
    assert hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest() == digest


def test_every_file_is_ours_or_in_the_list() -> None:
    ours = {"curves.js", "keepwell.css", "keepwell.js", "runs.js", "keepwell.svg", "VENDOR.md"}
    assert {f.name for f in (FOLDER / "static").iterdir()} == ours | {name for name, _ in VENDORED}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda f: f.name)
def test_templates_hold_nothing_that_the_policy_forbids(template) -> None:  # type: ignore[no-untyped-def]
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", text)
    assert all("src=" in found or "json" in found for found in re.findall(r"<script\b[^>]*>", text))
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "| safe" not in text


def test_files_are_kept_for_a_year_under_their_hash(empty) -> None:  # type: ignore[no-untyped-def]
    page = empty.page("/")
    style = re.search(r'href="(/static/keepwell\.css\?v=[0-9a-f]+)"', page)
    assert style is not None
    answer = empty.get(style[1], signed_in=False)
    assert answer.status_code == 200 and "31536000" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    assert "no-cache" in empty.get("/static/keepwell.css", signed_in=False).headers["cache-control"]
    assert empty.get("/static/VENDOR.md", signed_in=False).status_code == 404
    assert empty.get("/static/nothing.js", signed_in=False).status_code == 404


def test_colours_have_enough_contrast_on_both_grounds() -> None:
    css = (FOLDER / "static" / "keepwell.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", part)) for part in re.split("@media", css)[:2])
    for colours in (light, {**light, **dark}):
        for text in ("text", "text-2", "text-3", "accent-text", "ok", "watch", "bad"):
            for ground in ("bg", "surface"):
                assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground, colours[text])
        for state in ("ok", "watch", "bad"):
            assert _contrast(colours[state], colours[f"{state}-soft"]) >= 4.5, state
            assert _contrast(colours["on-tile"], colours[f"{state}-fill"]) >= 4.5, state
        assert _contrast(colours["on-accent"], colours["accent"]) >= 4.5


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)

"""Links between the Markdown files of the repository: checked, and followed into the site that MkDocs builds.

The README is the site's first page; the lab book, the changelog and the guide for contributors are pages, too. Links to code,
which is no part of the site, become plain text there. A link to what does not exist fails the build, and a test.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs"
HOME = "README.md"
PAGES = (HOME, "CHANGELOG.md", "CONTRIBUTING.md")
"""Files of the root that are pages of the site."""
BOOK = "experiments"
SHOWN = (".md", ".png", ".jpg")
"""What of the lab book is in the site."""
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
ELSEWHERE = ("http://", "https://", "mailto:")


def sources() -> list[Path]:
    """All Markdown files that people read."""
    found = [ROOT / name for name in PAGES]
    found += [path for folder in (DOCS, BOOK) for path in sorted((ROOT / folder).rglob("*.md"))]
    return [*found, *sorted((ROOT / "tests").rglob("*.md"))]


def without_code(text: str) -> str:
    """Blank out code, of which each character becomes a space, so that positions stay."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    return CODE.sub(blank, FENCE.sub(blank, text))


def links(text: str) -> Iterator[re.Match[str]]:
    """Find the links of a page to files and headings, those to other sites apart."""
    for match in LINK.finditer(without_code(text)):
        if not match["target"].startswith(ELSEWHERE):
            yield match


def anchors(path: Path) -> set[str]:
    """Names under which the headings of a page can be linked."""
    text = FENCE.sub("", path.read_text("utf-8"))
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(text))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in plain}


def problem(page: Path, target: str) -> str | None:
    """What is wrong with a link, in a sentence; None where nothing is."""
    file, _, anchor = unquote(target).partition("#")
    path = Path(os.path.normpath(page.parent / file)) if file else page
    if not path.exists() or not path.is_relative_to(ROOT):
        return f"{page.relative_to(ROOT)} links to {target}, which does not exist"
    path = path / HOME if path.is_dir() and anchor else path
    if anchor and path.suffix == ".md" and anchor not in anchors(path):
        return f"{page.relative_to(ROOT)} links to {target}, but {path.relative_to(ROOT)} has no heading of that name"
    return None


def problems(page: Path) -> list[str]:
    """What is wrong with the links of a page."""
    found = (problem(page, match["target"]) for match in links(page.read_text("utf-8")))
    return [sentence for sentence in found if sentence]


def place(path: Path) -> str | None:
    """Where a file of the repository is in the site, None where it is not."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        return place(path / HOME) if (path / HOME).is_file() else None
    if name == HOME:
        return "index.md"
    if name.startswith(f"{DOCS}/"):
        return name.removeprefix(f"{DOCS}/")
    return name if name in PAGES or (name.startswith(f"{BOOK}/") and path.suffix in SHOWN) else None


def origin(site: str) -> Path:
    """The file of the repository that a place in the site comes from."""
    if site == "index.md":
        return ROOT / HOME
    return ROOT / site if site in PAGES or site.startswith(f"{BOOK}/") else ROOT / DOCS / site


def rewritten(text: str, site: str) -> str:
    """The text of a page at a place in the site, its links leading within the site."""
    page, parts, end = origin(site), [], 0
    for match in links(text):
        file, sign, anchor = match["target"].partition("#")
        there = place(Path(os.path.normpath(page.parent / unquote(file)))) if file else site
        shown = text[match.start("text") : match.end("text")]  # code in it was blanked out
        relative = os.path.relpath(there, PurePosixPath(site).parent.as_posix()) if there else None
        link = f"{match['image']}[{shown}]({relative}{sign}{anchor})" if relative else shown
        parts += [text[end : match.start()], link if file else text[match.start() : match.end()]]
        end = match.end()
    return "".join([*parts, text[end:]])


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that do not lie in ``docs/`` (an event of MkDocs)."""
    from mkdocs.structure.files import File

    outside = [ROOT / name for name in PAGES] + [path for path in sorted((ROOT / BOOK).rglob("*")) if path.suffix in SHOWN]
    for path in outside:
        files.append(File.generated(config, place(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Check the links of a page and lead them into the site (an event of MkDocs)."""
    from mkdocs.exceptions import PluginError

    site = page.file.src_uri
    if wrong := problems(origin(site)):
        raise PluginError("; ".join(wrong))
    return rewritten(markdown, site)

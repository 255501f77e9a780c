"""Documents: every link leads somewhere, the glossary is complete, and what they say of the code is there."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

from dld_spotter.core import aliases

ROOT = Path(__file__).parents[2]
HOOKS = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
PAGES = HOOKS["sources"]()
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")
NAV = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
MENTIONED = re.compile(r"(?<![\w./])((?:src/dld_spotter|conf|tests|experiments|docs)/[\w./-]*\w)")
NAMED = re.compile(r"dld_spotter(?:\.\w+)+")
GONE = ("COMMAND", "fit_ladder", "onnx.OnnxSpotter", "DynamicSpotter", "charset.Charset", "models.selector")
"""What stands for any command, and earlier names in Python that documents tell."""


def leaves(tree: object) -> list[str]:
    """All pages of a navigation."""
    if isinstance(tree, str):
        return [tree]
    return [page for part in (tree.values() if isinstance(tree, dict) else tree) for page in leaves(part)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path):
    assert HOOKS["problems"](page) == []


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name)
def test_files_that_are_mentioned_exist(page: Path):
    text = page.read_text("utf-8")
    assert [name for name in MENTIONED.findall(text) if not (ROOT / name).exists()] == []


def test_a_module_that_is_named_exists():
    known = [page for page in PAGES if page.parent in (ROOT, ROOT / "docs", ROOT / "docs" / "api")]
    named = {name for page in known for name in NAMED.findall(page.read_text("utf-8"))}
    assert len(named) > 50
    assert sorted(name for name in named if not exists(name) and not name.endswith(GONE) and not is_earlier(name)) == []


def is_earlier(name: str) -> bool:
    """Whether it is a class as checkpoints named it once."""
    return name in aliases.CLASSES


def exists(name: str) -> bool:
    """Whether a dotted name is a module of the package, or something that a module says by its name."""
    parts = name.split(".")[1:]
    for count in range(len(parts), -1, -1):
        place = ROOT.joinpath("src", "dld_spotter", *parts[:count])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return all(re.search(rf"\b{part}\b", file.read_text("utf-8")) for part in parts[count:])
    return False


def test_make_targets_that_are_mentioned_exist():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[1].split()
    files = [*(page for page in PAGES if page.parent in (ROOT, ROOT / "docs")), ROOT / ".github" / "workflows" / "ci.yml"]
    mentioned = {
        name for file in files for name in re.findall(r"(?:`|run: |^)make ([a-z-]+)", file.read_text("utf-8"), re.MULTILINE)
    }
    assert {"install", "test", "docs"} <= mentioned <= set(targets)


def test_the_readme_is_one_screen():
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 110


@pytest.mark.parametrize("table", ["CLASSES", "SETTINGS", "OVERRIDES", "OPTIONS"])
def test_the_glossary_tells_every_earlier_name(table: str):
    told = GLOSSARY[GLOSSARY.index("## Earlier names") :]
    for earlier, now in getattr(aliases, table).items():
        assert re.search(rf"`[^`]*\b{re.escape(earlier)}\b[^`]*`", told), earlier
        assert re.search(rf"`[^`]*\b{re.escape(now)}\b[^`]*`", told), now


def test_every_page_is_in_the_navigation():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    listed = leaves(NAV)
    assert pages <= set(listed)
    assert len(listed) == len(set(listed))
    assert [page for page in listed if not HOOKS["origin"](page).is_file()] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](b.md)", 1),
        ("[a](README.md)", 0),
        ("[a](README.md#no-such-heading)", 1),
        ("[a](README.md#install)", 0),
        ("![i](docs/images/none.png)", 1),
        ("`[a](b.md)` and\n\n```\n[a](b.md)\n```\n", 0),
        ("[`a`](b.md) [x [y] z](c.md)", 2),
        ("[a](https://example.org/b.md) [a](../outside.md)", 1),
    ],
)
def test_a_broken_link_is_noticed(text: str, found: int):
    page = ROOT / "page_of_a_test.md"  # is not written: links are seen from the root
    wrong = [HOOKS["problem"](page, match["target"]) for match in HOOKS["links"](text)]
    assert len([sentence for sentence in wrong if sentence]) == found


@pytest.mark.parametrize(
    ("site", "text", "expected"),
    [
        ("index.md", "[r](docs/results.md#x) ![i](docs/images/a.png)", "[r](results.md#x) ![i](images/a.png)"),
        ("results.md", "[17](../experiments/17_second_pass)", "[17](experiments/17_second_pass/README.md)"),
        ("results.md", "[`code`](../src/dld_spotter/train.py) stays", "`code` stays"),
        ("experiments/README.md", "[w](../docs/weights.md) [x](#index)", "[w](../weights.md) [x](#index)"),
        ("api/budget.md", "[b](../budgets.md) [p](https://a.b)", "[b](../budgets.md) [p](https://a.b)"),
    ],
)
def test_links_lead_within_the_site(site: str, text: str, expected: str):
    assert HOOKS["rewritten"](text, site) == expected

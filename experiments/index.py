"""Writes the index of README.md from the READMEs of the studies; with ``--check`` it only says whether the index is stale.

    python experiments/index.py [--check]

A study is a folder ``NN_topic`` whose README.md has at most 80 lines: a title ``# NN ...``, then the paragraphs
``**Question.**``, ``**Command.**``, ``**Result.**`` and ``**Conclusion (VERDICT).**``, VERDICT being helped, did not help or
neutral. The index shows the first sentence that asks something, and the first one of the conclusion.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MARK = "<!-- What follows is written by index.py from the READMEs of the studies. -->\n"
LINES = 80
VERDICTS = ("helped", "did not help", "neutral")
PARTS = ("Question", "Command", "Result", "Conclusion")
PART = re.compile(r"^\*\*(\w+)(?: \(([^)]*)\))?\.\*\*", re.MULTILINE)


@dataclass(frozen=True)
class Study:
    """What the index shows of a study."""

    folder: str
    title: str
    question: str
    conclusion: str
    verdict: str

    def row(self) -> str:
        """The study as a line of the index."""
        number = self.folder.partition("_")[0]
        return f"| {number} | [{self.title}]({self.folder}) | {self.question} | {self.conclusion} | {self.verdict} |\n"


def find_studies(folder: Path) -> list[Path]:
    """Find the folders of the studies, in the order of their numbers."""
    return sorted(path for path in folder.glob("[0-9][0-9]_*") if path.is_dir())


def read_study(folder: Path) -> Study:
    """Read the README of a study.

    Raises:
        ValueError: there is none, or it does not have the form.
    """
    path, number = folder / "README.md", folder.name.partition("_")[0]
    if not path.is_file():
        raise ValueError(f"{path} is missing; every study has one")
    text = path.read_text("utf-8")
    if len(text.splitlines()) > LINES:
        raise ValueError(f"{path} has {len(text.splitlines())} lines; at most {LINES} are allowed")
    title = re.match(rf"# {number} (.+)\n", text)
    if not title:
        raise ValueError(f"{path} must begin with '# {number} ' and a title, not with {text.partition(chr(10))[0]!r}")
    found = list(PART.finditer(text))
    if tuple(part[1] for part in found) != PARTS:
        raise ValueError(f"{path} must have the parts {', '.join(PARTS)}, not {', '.join(part[1] for part in found) or 'none'}")
    verdict = found[-1][2]
    if verdict not in VERDICTS:
        raise ValueError(f"{path}: the conclusion must say one of {', '.join(VERDICTS)} in brackets, not {verdict}")
    asked = [sentence for sentence in sentences(text[found[0].end() :], folder.name) if sentence.endswith("?")]
    if not asked:
        raise ValueError(f"{path} asks no question in its part Question")
    return Study(folder.name, title[1], asked[0], sentences(text[found[-1].end() :], folder.name)[0], verdict)


def sentences(text: str, folder: str) -> list[str]:
    """Split the first paragraph of ``text`` into sentences, its links as seen from the folder above."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    paragraph = re.sub(r"\]\((?!\.\./|https?:)", f"]({folder}/", paragraph).replace("](../", "](")
    return re.split(r"(?<=[.?!])\s+", paragraph)


def write_index(studies: list[Study]) -> str:
    """Write the index as a Markdown table."""
    head = "\n| | study | question | conclusion | |\n|---|---|---|---|---|\n"
    return head + "".join(study.row() for study in studies)


def main(folder: Path = HERE, check: bool = False) -> int:
    """Write the index of ``folder``, or check it; returns the exit status."""
    readme = folder / "README.md"
    try:
        head, mark, _ = readme.read_text("utf-8").partition(MARK)
        if not mark:
            raise ValueError(f"{readme} lacks the line {MARK.strip()!r}, below which the index stands")
        text = head + mark + write_index([read_study(path) for path in find_studies(folder)])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if check and text != readme.read_text("utf-8"):
        print(f"error: the index of {readme} is stale; run python experiments/index.py", file=sys.stderr)
        return 1
    if not check:
        readme.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    sys.exit(main(check="--check" in sys.argv))

"""The project's Markdown documents: their console blocks, inline code, links and anchors."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tests

ROOT = Path(tests.__file__).resolve().parent.parent
DOCS = ROOT / "docs"
_SKIPPED = {"node_modules", "build", "dist", "__pycache__"}
_FENCE = re.compile(r"^```(\w*)$(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Document:
    """One Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        """The whole file."""
        return self.path.read_text()

    @property
    def prose(self) -> str:
        """The file without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def commands(self) -> Iterator[str]:
        """The command lines of its console blocks: what follows a prompt, without the comment at its end."""
        for language, block in _FENCE.findall(self.text):
            for line in block.replace("\\\n", " ").splitlines() if language == "console" else ():
                if line.startswith(("$ ", "# ")):
                    yield re.sub(r"\s+#( .*)?$", "", line[2:]).strip()

    def json(self) -> list[Any]:
        """The values in its JSON blocks."""
        return [json.loads(block) for language, block in _FENCE.findall(self.text) if language == "json"]

    def inline(self) -> Iterator[str]:
        """Its inline code."""
        yield from (code.replace("\\|", "|") for code in _INLINE.findall(self.prose))

    def links(self) -> Iterator[str]:
        """The targets of its links and pictures."""
        yield from _LINK.findall(_INLINE.sub("", self.prose))

    def anchors(self) -> set[str]:
        """The anchors that GitHub gives its headings."""
        seen: dict[str, int] = {}
        anchors = set()
        for heading in _HEADING.findall(self.prose):
            slug = slug_of(heading)
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            anchors.add(f"{slug}-{count}" if count else slug)
        return anchors


def slug_of(heading: str) -> str:
    """GitHub's anchor of a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def documents() -> list[Document]:
    """Every Markdown file of the project, hidden folders and build outputs aside."""
    paths = (path for path in ROOT.rglob("*.md") if not _hidden(path.relative_to(ROOT)))
    return [Document(path) for path in sorted(paths)]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in _SKIPPED for part in path.parts)

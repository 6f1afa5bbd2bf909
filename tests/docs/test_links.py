"""Every relative link in a document leads to a file of the project, and every anchor to a heading."""

import pytest

from tests.docs.documents import ROOT, Document, documents, slug_of


@pytest.mark.parametrize("document", documents(), ids=str)
def test_every_link_resolves(document: Document) -> None:
    broken = [link for link in document.links() if not _resolves(document, link)]
    assert not broken


def _resolves(document: Document, link: str) -> bool:
    if link.startswith(("https://", "mailto:")):
        return True
    name, _, anchor = link.partition("#")
    target = (document.path.parent / name).resolve() if name else document.path
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or (target.suffix == ".md" and anchor in Document(target).anchors())


def test_every_document_can_be_reached_from_the_readme() -> None:
    seen: set[Document] = set()
    todo = [Document(ROOT / "README.md")]
    while todo:
        document = todo.pop()
        seen.add(document)
        linked = {(document.path.parent / link.partition("#")[0]).resolve() for link in document.links()}
        todo += [Document(path) for path in linked if path.suffix == ".md" and Document(path) not in seen]
    assert set(documents()) <= seen


def test_the_table_of_the_readme_names_every_document() -> None:
    readme = (ROOT / "README.md").read_text()
    missing = [path.name for path in (ROOT / "docs").glob("*.md") if f"](docs/{path.name}) |" not in readme]
    assert not missing


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Training on the GPU, which always stops", "training-on-the-gpu-which-always-stops"),
        ("`make test-all`", "make-test-all"),
        ("[0.2.0] - 2026-11-26", "020---2026-11-26"),
    ],
)
def test_an_anchor_is_githubs(heading: str, anchor: str) -> None:
    assert slug_of(heading) == anchor


def test_a_broken_link_is_found() -> None:
    readme = Document(ROOT / "README.md")
    assert not _resolves(readme, "docs/nonsense.md")
    assert not _resolves(readme, "docs/commands.md#nonsense")
    assert not _resolves(readme, "../outside.md")

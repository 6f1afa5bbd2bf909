"""Real X-rays, a photograph and damaged files through the page, with the model that ships."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from model import bundle
from tests.browser.conftest import Stack, Watched
from tests.browser.test_pages import FINDINGS, REFUSED, assess, show_together


@pytest.fixture(scope="module")
def real_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with the shipped model."""
    started = Stack.started(tmp_path_factory.mktemp("stack"), bundle.pretrained())
    yield started
    started.stop()


def test_only_x_rays_are_assessed(real_stack: Stack, watched: Watched, data_root: Path, shoot):
    train = data_root / "kermany224" / "train"
    films = [sorted((train / label).iterdir())[7] for label in ("NORMAL", "PNEUMONIA")]
    films.append(next((data_root / "dicom" / "chest").glob("canon_dx_pa_mono1_j2k*")))
    others = [data_root / "ood" / "photo" / "astronaut.png", next((data_root / "dicom" / "other").glob("CT_small*"))]
    others += sorted((data_root / "dicom" / "broken").glob("hip_*"))
    others += sorted((data_root / "dicom" / "chest").glob("philips_cr_pa_mono1_jpegls*"))  # of an adult, by its header
    page = watched.page
    assess(page, real_stack, [*films, *others])
    show_together(page)
    articles = page.locator("article")
    expect(articles).to_have_count(len(films) + len(others))
    for film in films:
        expect(articles.filter(has_text=film.name).locator(FINDINGS)).to_have_count(1)
    for other in others:
        article = articles.filter(has_text=other.name)
        expect(article.locator(REFUSED)).to_have_count(1)
        expect(article.locator(FINDINGS)).to_have_count(0)
    shoot(page, "real-results")
    articles.filter(has_text=films[1].name).get_by_role("link", name=films[1].name).click()
    page.get_by_role("link", name="Show heat map").click()
    heatmap = page.get_by_alt_text("Heat map over the picture").element_handle()
    page.wait_for_function("image => image.complete && image.naturalWidth > 100", arg=heatmap)
    shoot(page, "real-detail")
    assert watched.complaints == []

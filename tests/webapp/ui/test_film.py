"""The size of the stored picture, as the page computes it and as the API stores it."""

import pytest
from PIL import Image

from webapp.api.preview import make_preview
from webapp.ui.film import stored_size


@pytest.mark.parametrize(
    "size", [(224, 224), (1024, 1024), (1025, 3), (2500, 2048), (1, 3000), (2047, 1365), (640, 1281)]
)
def test_the_page_knows_the_size_of_what_the_api_stores(size: tuple[int, int]):
    stored = make_preview(Image.new("L", size))
    assert stored_size({"width": size[0], "height": size[1]}) == (stored.width, stored.height)

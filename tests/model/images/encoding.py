"""Pictures as files, and the code with which a file is refused."""

from io import BytesIO

import pytest
from PIL import Image

from model.images.decode import decode
from model.images.limits import Refused


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def refusal(content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        decode(content)
    assert caught.value.reason and str(caught.value) == caught.value.reason
    return caught.value.code

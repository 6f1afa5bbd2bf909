"""The 16-bit film of a result: kept within its budget if that is asked for, and whole or an error."""

import json
import zlib

import numpy as np
import pytest
from PIL import Image

from model import phantom
from model.images.grey16 import Grey16
from tests.model.conftest import Films
from tests.webapp.api.answers import problem
from tests.webapp.conftest import Caller
from webapp import api
from webapp.api.view_film import encode

NOISE = np.random.default_rng(0)


def read(content: bytes) -> tuple[dict, np.ndarray]:
    """The head and the values of a view.bin, by its description in the OpenAPI document."""
    assert content[:4] == b"PN16"
    end = 8 + int.from_bytes(content[4:8], "little")
    head = json.loads(content[8:end])
    planes = np.frombuffer(zlib.decompress(content[end:]), np.uint8).reshape(2, head["height"], head["width"])
    zigzag = planes[0].astype(np.int64) << 8 | planes[1]
    differences = (zigzag >> 1) ^ -(zigzag & 1)
    differences[:, 0] = differences[:, 0].cumsum()
    return head, differences.cumsum(axis=1) % 65536


def noise(width: int, height: int) -> Grey16:
    """A film that no compression makes smaller."""
    values = NOISE.integers(0, 65536, (height, width), np.uint16)
    return Grey16(Image.fromarray(values), 0.5, -7.0, 100.0, 300.0, inverted=True)


@pytest.fixture
def dicom_film() -> bytes:
    """A drawing in 12 bits as a DICOM file."""
    values = np.asarray(phantom.draw(101, 256)).astype(np.uint16) * 16
    return Films.content(Films.make(values, 12, WindowCenter="2040", WindowWidth="4081"))


@pytest.fixture
def keeping(config) -> Caller:
    """An API that keeps 16-bit films."""
    return Caller(api.create_app({**config, "KEEP_16_BIT_MB": "5"}).test_client())


def test_every_value_comes_back() -> None:
    film = noise(97, 41)
    encoded = encode(film, 10_000_000)
    assert encoded is not None
    head, values = read(encoded.content)
    assert (values == np.asarray(film.grey)).all()
    assert head == {
        "width": 97,
        "height": 41,
        "slope": 0.5,
        "intercept": -7.0,
        "windowCentre": 100.0,
        "windowWidth": 300.0,
        "inverted": True,
    }


def test_a_film_fits_its_budget_or_is_not_kept() -> None:
    film = noise(1500, 1000)
    shrunk = encode(film, 1_000_000)
    assert shrunk is not None and len(shrunk.content) <= 1_000_000
    head, _ = read(shrunk.content)
    assert 600 < head["width"] < 1500 and abs(head["width"] / head["height"] - 1.5) < 0.01
    assert encode(film, 100_000) is None


def test_no_film_is_kept_unless_it_is_asked_for(caller, dicom_film, redis_server) -> None:
    (document,) = caller.sent((dicom_film, "a.dcm"))
    problem(caller.get(f"/v1/predictions/{document['id']}/view.bin"), 404, "no-view")
    assert not redis_server.client().keys("pneumo:1:film:*")


def test_a_film_of_more_than_8_bits_is_kept_beside_the_same_result(caller, keeping, dicom_film, redis_server) -> None:
    (without,) = caller.sent((dicom_film, "a.dcm"))
    redis_server.client().flushall()
    (document,) = keeping.sent((dicom_film, "a.dcm"))
    measured = ("created", "elapsed_ms")
    assert {**document, **dict.fromkeys(measured)} == {**without, **dict.fromkeys(measured)}
    answer = keeping.get(f"/v1/predictions/{document['id']}/view.bin")
    assert (answer.status_code, answer.mimetype) == (200, "application/octet-stream")
    head, values = read(answer.data)
    assert (head["windowCentre"], head["windowWidth"], values.max()) == (2040, 4081, values.max())
    assert len(np.unique(values)) > 100
    assert keeping.client.get(f"/v1/predictions/{document['id']}/view.bin").status_code == 401


def test_a_file_of_8_bits_or_none_that_can_be_read_has_no_film(keeping, clear_picture) -> None:
    for document in keeping.sent((clear_picture, "a.png"), (b"broken", "c.png")):
        problem(keeping.get(f"/v1/predictions/{document['id']}/view.bin"), 404, "no-view")
    problem(keeping.get(f"/v1/predictions/{'0' * 32}/view.bin"), 404, "not-found")


@pytest.mark.parametrize("harm", ["lost", "damaged", "cut"])
def test_a_film_that_is_not_whole_is_an_error_and_no_damage_of_the_rest(
    keeping, dicom_film, redis_server, harm
) -> None:
    (document,) = keeping.sent((dicom_film, "a.dcm"))
    key, client = f"pneumo:1:film:{document['id']}", redis_server.client()
    whole = client.get(key)
    if harm == "cut":
        client.set(key, whole[: len(whole) // 2])
    else:
        client.delete(key) if harm == "lost" else client.setrange(key, len(whole) // 2, b"XX")
    problem(keeping.get(f"/v1/predictions/{document['id']}/view.bin"), 500, "picture-damaged")
    assert keeping.get(f"/v1/predictions/{document['id']}").get_json() == document
    assert keeping.get(f"/v1/predictions/{document['id']}/image.png").status_code == 200


def test_a_film_is_erased_with_its_result(keeping, dicom_film, redis_server) -> None:
    (document,) = keeping.sent((dicom_film, "a.dcm"))
    path, client = f"/v1/predictions/{document['id']}", redis_server.client()
    assert client.exists(f"pneumo:1:film:{document['id']}")
    assert keeping.client.delete(path, headers=keeping.headers).status_code == 204
    assert not client.exists(f"pneumo:1:film:{document['id']}")
    client.set(f"pneumo:1:film:{document['id']}", b"left over")
    assert keeping.client.delete(path, headers=keeping.headers).status_code == 204
    assert not client.exists(f"pneumo:1:film:{document['id']}")


def test_the_film_of_a_probe_expires_with_it(config, dicom_film, redis_server) -> None:
    keeping = Caller(api.create_app({**config, "KEEP_16_BIT_MB": "5"}).test_client())
    keeping.headers["X-Pneumo-Probe"] = "1"
    (document,) = keeping.sent((dicom_film, "a.dcm"))
    assert 0 < redis_server.client().ttl(f"pneumo:1:film:{document['id']}") <= 120

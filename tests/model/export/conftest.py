"""A bundle of a small network and of drawings."""

from collections.abc import Iterator

import pytest

from model import bundle as bundles
from model import export, phantom
from model.bundling import known_picture
from model.data import dataset
from model.settings import TrainSettings, choose
from tests.model.export.small_export import HISTORY, ORIGIN
from tests.model.small_network import SIDE


@pytest.fixture(scope="module", autouse=True)
def _small_drawings() -> Iterator[None]:
    """Each bundle chooses its known picture from 16 drawings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_picture, "KNOWN_SIZE", 192)
        yield


@pytest.fixture(scope="module")
def settings() -> TrainSettings:
    return choose(height=SIDE, width=SIDE, validation_share=0.3, epochs=3)


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory, settings: TrainSettings) -> dataset.DataSet:
    root = tmp_path_factory.mktemp("drawings") / "tree"
    phantom.tree(root, 8, seed=2)
    return dataset.split(dataset.load(root), settings.validation_share, settings.split_seed)


@pytest.fixture(scope="module")
def built(model, settings: TrainSettings, drawings: dataset.DataSet, tmp_path_factory) -> bundles.Bundle:
    out = tmp_path_factory.mktemp("out") / "bundle"
    return export.build_bundle(model, settings, drawings, out, "small", test=True, history=HISTORY, origin=ORIGIN)

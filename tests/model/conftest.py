"""DICOM files, bundles, a small network and drawings for the tests of the model."""

import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from model import phantom
from model.images.decode import decode
from model.images.limits import Refused


class Films:
    """Creates DICOM files and decodes them."""

    @staticmethod
    def make(values: np.ndarray, stored: int | None = None, **tags: Any) -> Dataset:
        """A minimal CR file of a chest in MONOCHROME2, holding these values; `tags` overrule."""
        allocated = 8 * values.dtype.itemsize
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = ComputedRadiographyImageStorage
        dataset.SOPInstanceUID = "1.2.3.4"
        dataset.PatientName = "Secret^Name"
        dataset.Modality = "CR"
        dataset.BodyPartExamined = "CHEST"
        dataset.ViewPosition = "PA"
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.Rows, dataset.Columns = values.shape
        dataset.BitsAllocated = allocated
        dataset.BitsStored = stored or allocated
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(values.dtype.kind == "i")
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)
        dataset.PixelData = values.tobytes()
        return dataset

    @staticmethod
    def content(dataset: Dataset, **options: Any) -> bytes:
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True, **options)
        return file.getvalue()

    @staticmethod
    def pixels(source: Dataset | bytes) -> np.ndarray:
        picture = decode(source if isinstance(source, bytes) else Films.content(source))
        assert (picture.format, picture.colourful, picture.grey.mode) == ("DICOM", 0.0, "L")
        return np.asarray(picture.grey, dtype=int)

    @staticmethod
    def refusal(source: Dataset | bytes) -> str:
        with pytest.raises(Refused) as caught:
            decode(source if isinstance(source, bytes) else Films.content(source))
        assert "Secret" not in caught.value.reason
        return caught.value.code


@pytest.fixture(scope="session")
def films() -> type[Films]:
    """Functions that make and decode DICOM files."""
    return Films


@pytest.fixture(scope="session")
def film() -> np.ndarray:
    """A drawing, uint8 [96, 96], over the full range so that the stretch of values leaves it as it is."""
    values = np.asarray(phantom.draw(1, 96)).copy()
    values[0, :2] = (0, 255)
    return values


@pytest.fixture
def bundle_dir(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def model():
    """A small network, trained one step."""
    from tests.model import small_network

    return small_network.trained()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "drawings"
    phantom.tree(directory, patients=8, seed=1, size=64)
    (directory / "SOURCE.txt").write_text("Drawings for a test\n")
    return directory

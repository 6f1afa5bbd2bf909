"""DICOM files: chest films are read as vendors write them, others are refused, and no header content is printed."""

import logging
import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from model.images import dicom
from model.images.decode import decode
from model.images.limits import Refused


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"Rows": 30_000, "Columns": 30_000}, "too_large"),
        ({"Rows": 63}, "too_small"),
        ({"NumberOfFrames": 2}, "multiple_frames"),
        ({"Modality": "CT"}, "not_an_xray"),
        ({"Modality": "MR"}, "not_an_xray"),
        ({"Modality": "US"}, "not_an_xray"),
        ({"Modality": "OT"}, "not_an_xray"),
        ({"Modality": ""}, "not_an_xray"),
        ({"Modality": "MG"}, "not_a_chest"),
        ({"Modality": "PX"}, "not_a_chest"),
        ({"BodyPartExamined": "HAND"}, "not_a_chest"),
        ({"BodyPartExamined": "TSPINE"}, "not_a_chest"),
        ({"BodyPartExamined": "THORACIC SPINE"}, "not_a_chest"),
        ({"BodyPartExamined": "EXTREMITY"}, "not_a_chest"),
        ({"BodyPartExamined": "ABDOMEN"}, "not_a_chest"),
        ({"ViewPosition": "LL"}, "not_a_chest"),
        ({"ViewPosition": "LATERAL"}, "not_a_chest"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "not_an_xray"),
        ({"PhotometricInterpretation": "RGB"}, "not_an_xray"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not_an_xray"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "unreadable"),
        ({"HighBit": 5}, "unreadable"),
        ({"BitsStored": 9}, "unreadable"),
    ],
)
def test_files_that_are_no_chest_film_are_refused(
    films: Any, film: np.ndarray, tags: dict[str, Any], code: str
) -> None:
    assert films.refusal(films.make(film, **tags)) == code


@pytest.mark.parametrize(
    "tags",
    [
        {"Modality": "DX"},
        {"Modality": "RG"},
        {"Modality": "DR"},
        {"BodyPartExamined": "THORAX PA"},
        {"BodyPartExamined": "CHEST_ABDOMEN"},
        {"BodyPartExamined": ""},
        {"BodyPartExamined": "UNKNOWN"},
        {"BodyPartExamined": "PULMO"},
        {"ViewPosition": "AP"},
        {"ViewPosition": ""},
        {"PresentationIntentType": "FOR PRESENTATION"},
        {"NumberOfFrames": 1},
    ],
)
def test_chest_films_are_read_as_vendors_write_them(films: Any, film: np.ndarray, tags: dict[str, Any]) -> None:
    assert (films.pixels(films.make(film, **tags)) == film).all()


def test_case_of_header_words_does_not_matter(films: Any, film: np.ndarray) -> None:
    assert (
        films.refusal(films.content(films.make(film, BodyPartExamined="HIP ")).replace(b"HIP ", b"hip "))
        == "not_a_chest"
    )
    whole = films.content(films.make(film, BodyPartExamined="THORAX"))
    assert (films.pixels(whole.replace(b"THORAX", b"Thorax")) == film).all()


@pytest.mark.parametrize("missing", ["Rows", "PhotometricInterpretation", "BitsStored", "PixelData", "SamplesPerPixel"])
def test_missing_elements_are_unreadable(films: Any, film: np.ndarray, missing: str) -> None:
    dataset = films.make(film)
    delattr(dataset, missing)
    assert films.refusal(dataset) in {"unreadable", "not_an_xray"}


def test_missing_body_part_is_left_to_the_statistics(films: Any, film: np.ndarray) -> None:
    dataset = films.make(film)
    del dataset.BodyPartExamined, dataset.ViewPosition
    assert (films.pixels(dataset) == film).all()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_file_without_preamble_is_read(films: Any, film: np.ndarray, syntax: str) -> None:
    dataset = films.make(film)
    dataset.file_meta.TransferSyntaxUID = syntax
    assert (films.pixels(films.content(dataset)[132:]) == film).all()
    file = BytesIO()
    del dataset.file_meta
    dataset.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    assert (films.pixels(file.getvalue()) == film).all()


def test_deflated_file_is_refused_before_unpacking(films: Any, film: np.ndarray) -> None:
    dataset = films.make(film)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert films.refusal(dataset) == "unreadable"


@pytest.mark.parametrize("seed", range(30))
def test_a_random_file_raises_only_the_documented_error(films: Any, film: np.ndarray, seed: int) -> None:
    damaged = bytearray(films.content(films.make(film)))
    dice = np.random.default_rng(seed)
    for at in dice.integers(132, 900, 12):
        damaged[at] = dice.integers(256)
    try:
        decode(bytes(damaged))
    except Refused as refused:
        assert refused.code in {"unreadable", "too_small", "too_large", "not_an_xray", "not_a_chest", "multiple_frames"}


def test_warnings_about_headers_are_not_printed(films: Any, film: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    """pydicom warns and logs, with header values in its words."""
    dataset = films.make(film, SpecificCharacterSet="ISO_IR 100")
    with caplog.at_level(logging.CRITICAL):  # undone afterwards, and overruled by the decoder
        content = films.content(dataset).replace(b"ISO_IR 100", b"ISO_IR Sec")
    with warnings.catch_warnings(record=True) as seen, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        decode(content)
    assert not seen and not caplog.records


def test_damaged_streams_print_nothing(data_root: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from model.images.decode import decode, Refused\n"
        "for name in sys.argv[1:]:\n"
        "    content = pathlib.Path(name).read_bytes()\n"
        "    for part in (content, content[:-9000]):\n"
        "        try: decode(part)\n"
        "        except Refused: pass\n"
    )
    files = [str(path) for path in sorted((data_root / "dicom").rglob("*.dcm"))]
    command = [sys.executable, "-c", script, *files]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_missing_library_is_not_reported_as_a_bad_file(
    films: Any, film: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImportError):
        dicom.decode(films.content(films.make(film)))


def test_real_chest_films_are_read_and_bright_where_bones_are(films: Any, data_root: Path) -> None:
    files = sorted((data_root / "dicom" / "chest").glob("*.dcm"))
    assert len(files) == 5
    for file in files:
        shown = films.pixels(file.read_bytes())
        height, width = shown.shape
        spine = shown[height // 3 : height // 2, int(width * 0.46) : int(width * 0.54)].mean()
        right_lung = shown[height // 3 : height // 2, int(width * 0.2) : int(width * 0.35)].mean()
        assert spine > right_lung + 20, file.name


def test_real_films_of_other_kinds_are_refused(films: Any, data_root: Path) -> None:
    files = sorted((data_root / "dicom" / "other").glob("*.dcm"))
    codes = {file.name: films.refusal(file.read_bytes()) for file in files}
    assert len(codes) == 8
    assert set(codes.values()) == {"not_a_chest", "not_an_xray"}


def test_real_damaged_films_are_refused(films: Any, data_root: Path) -> None:
    broken = data_root / "dicom" / "broken"
    assert films.refusal((broken / "canon_dx_pa_mono1_j2k_lossless_966.dcm").read_bytes()) == "unreadable"
    assert films.refusal((broken / "hip_cr_jpeg_extended_RG2_JPLY.dcm").read_bytes()) == "not_a_chest"

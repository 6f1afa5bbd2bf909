"""The study that a DICOM file states, whatever else is wrong with it."""

import pytest

from model.images.dicom_study import study_uid
from tests.webapp.dicom_films import STUDY_UID, dicom_film


def test_the_study_is_read_also_of_a_side_view_and_of_a_file_that_is_cut_off():
    assert study_uid(dicom_film()) == study_uid(dicom_film(view="LL")) == STUDY_UID
    assert study_uid(dicom_film()[:1500]) == STUDY_UID


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM\x08\0\xff"])
def test_other_files_state_no_study(content):
    assert study_uid(content) is None


def test_a_deflated_file_is_not_read():
    assert study_uid(dicom_film() + b"1.2.840.10008.1.2.1.99") is None

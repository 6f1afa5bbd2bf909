"""`predict --sr`: a report of each finding that refers to its film, and of nothing else.

The rules are those of DICOM PS3.3 and PS3.16 that a reader depends on, written out here: dicom-validator downloads the
standard before it checks anything.
"""

import csv
import errno
import io
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.uid import EnhancedSRStorage, generate_uid

from model import phantom
from pneumoctl import installation
from pneumoctl.errors import Exit
from pneumoctl.scoring import structured_report
from tests.model.conftest import Films

KEPT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "AccessionNumber")
STUDY = generate_uid(None)


def film(folder: Path, name: str, opacity: bool = False, **tags: Any) -> pydicom.Dataset:
    """A film of a study as a file."""
    values = np.asarray(phantom.draw(101, 256, opacity=opacity)).copy()
    study = {"PatientID": "Secret7", "PatientBirthDate": "19500101", "PatientSex": "F", "AccessionNumber": "A1"}
    uids = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": generate_uid(None), "SOPInstanceUID": generate_uid(None)}
    dates = {"StudyDate": "20260101", "StudyTime": "120000", "StudyID": "1", "SeriesNumber": 1, "InstanceNumber": 1}
    dataset = Films.make(values, **{**study, **uids, **dates, "ReferringPhysicianName": "", **tags})
    (folder / name).write_bytes(Films.content(dataset))
    return dataset


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for films."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    return tmp_path / "films"


def read(file: Path) -> Any:
    """A report, by highdicom, which checks its content."""
    from highdicom.sr import srread

    return srread(file)


def texts(item: Any) -> list[str]:
    """All texts and coded meanings below an item."""
    found = [item.TextValue] if "TextValue" in item else []
    found += [code.CodeMeaning for code in item.get("ConceptCodeSequence", [])]
    return found + [text for child in item.get("ContentSequence", []) for text in texts(child)]


@pytest.mark.parametrize("opacity", [True, False])
def test_a_finding_is_reported_with_model_numbers_and_reference(
    predict: Any, folder: Path, capsys: pytest.CaptureFixture[str], opacity: bool
) -> None:
    source = film(folder, "a.dcm", opacity)
    assert predict(folder, "--sr", "reports", "--json") == Exit.DONE
    (document,) = json.loads(capsys.readouterr().out)["predictions"]
    assert document["finding"] == ("pneumonia" if opacity else "no pneumonia")
    (file,) = Path("reports").iterdir()
    assert file.name == f"{document['id']}.dcm" and stat.S_IMODE(file.stat().st_mode) == 0o600
    report = read(file)
    assert report.SOPClassUID == report.file_meta.MediaStorageSOPClassUID == EnhancedSRStorage
    assert report.SOPInstanceUID == report.file_meta.MediaStorageSOPInstanceUID
    assert [report.get(name) for name in KEPT] == [source.get(name) for name in KEPT]
    assert report.SeriesInstanceUID != source.SeriesInstanceUID and report.SOPInstanceUID != source.SOPInstanceUID
    assert (report.Modality, report.SeriesDescription) == ("SR", structured_report.SERIES)
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert (report.ValueType, report.CompletionFlag) == ("CONTAINER", "COMPLETE")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert report.ConceptNameCodeSequence[0].CodeValue == codes.DCM.ImagingMeasurementReport.value
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    (referred,) = series.ReferencedSOPSequence
    assert evidence.StudyInstanceUID == STUDY and series.SeriesInstanceUID == source.SeriesInstanceUID
    assert (referred.ReferencedSOPClassUID, referred.ReferencedSOPInstanceUID) == (
        source.SOPClassUID,
        source.SOPInstanceUID,
    )
    (group,) = report.content.get_image_measurement_groups()
    (measured,) = group.get_measurements(structured_report._own("probability", "Model's calibrated P(pneumonia)"))
    assert measured.value == pytest.approx(document["probability"])
    assert group.source_images[0].referenced_sop_instance_uid == source.SOPInstanceUID
    said = texts(report)
    assert structured_report.NOTICE in said and "operating point balanced" in said
    assert {document["model"]["name"], document["model"]["version"]} <= set(said)
    assert ("Score at or above threshold" in said, "Score below threshold" in said) == (opacity, not opacity)
    assert all(any(each["sentence"] in text for text in said) for each in document["cautions"])
    assert not [text for text in said if text.lower() in ("pneumonia", "no pneumonia", "absent", "normal")]


def test_a_refused_file_gets_no_report_and_a_finding_without_one_is_not_lost(
    predict: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(folder, "a-lateral.dcm", ViewPosition="LL")
    film(folder, "b-no-study.dcm", opacity=True, StudyInstanceUID="")
    (folder / "c.png").write_bytes(phantom.png(101, 256))
    assert predict(folder, "--sr", "reports", "--json") == Exit.PARTLY
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert [(each["refusal"] or {}).get("code") for each in told["predictions"]] == ["not_a_chest", None, None]
    assert [each["finding"] for each in told["predictions"]] == [None, "pneumonia", "no pneumonia"]
    assert [each["message"] for each in told["errors"]] == [
        "no report was written: its header has no StudyInstanceUID",
        "no report was written: PNG has no study to refer to",
    ]
    assert "2 predictions without what was to be written" in printed.err
    assert list(Path("reports").iterdir()) == [] and "Secret" not in printed.out + printed.err
    assert predict(folder, "--sr", "reports", "--fail-on-positive", "--csv") == Exit.CHANGES
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert [row["finding"] for row in found] == ["", "pneumonia", "no pneumonia"]
    assert [row["error"].startswith("no report was written: ") for row in found] == [False, True, True]
    predict(folder, "--sr", "reports")
    assert "ERROR: no report was written: its header has no StudyInstanceUID" in capsys.readouterr().out


def test_a_report_that_cannot_be_written_costs_no_finding(
    predict: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    film(folder, "a.dcm", opacity=True)
    monkeypatch.setattr(structured_report, "replace_file", full)
    assert predict(folder, "--sr", "reports", "--json") == Exit.PARTLY
    told = json.loads(capsys.readouterr().out)
    assert [each["finding"] for each in told["predictions"]] == ["pneumonia"]
    assert "No space left on device" in told["errors"][0]["message"]


@pytest.mark.parametrize("character_set", ["ISO_IR 100", "ISO_IR 192", ["", "ISO 2022 IR 87"]])
def test_the_name_of_the_patient_stays_as_it_is(predict: Any, folder: Path, character_set: Any) -> None:
    name = "Yamada^Tarou=山田^太郎" if isinstance(character_set, list) else "Müller^Änne"
    source = film(folder, "a.dcm", SpecificCharacterSet=character_set, PatientName=name)
    assert predict(folder, "--sr", "reports") == Exit.DONE
    (file,) = Path("reports").iterdir()
    assert str(read(file).PatientName) == str(source.PatientName) == name


def test_what_a_header_lacks_is_empty_in_the_report(predict: Any, folder: Path) -> None:
    source = film(folder, "a.dcm")
    empty = [name for name in structured_report._EMPTY if name in source]
    for name in empty:
        del source[name]
    (folder / "a.dcm").write_bytes(Films.content(source))
    assert predict(folder, "--sr", "reports") == Exit.DONE
    (file,) = Path("reports").iterdir()
    assert len(empty) >= 6 and not any(read(file)[name].value for name in empty)


def test_many_films_are_reported_and_a_second_run_replaces_its_reports(predict: Any, folder: Path) -> None:
    for number in range(3):
        film(folder, f"{number}.dcm", number == 1)
    for _ in range(2):
        assert predict(folder, "--sr", "reports", "--jobs", 2, "--resume", "done.jsonl") == Exit.DONE
        assert len(list(Path("reports").iterdir())) == 3
    reports = [read(file) for file in Path("reports").iterdir()]
    assert len({each.SOPInstanceUID for each in reports}) == len({each.SeriesInstanceUID for each in reports}) == 3
    named = [item for each in reports for item in each.ContentSequence if item.ValueType == "UIDREF"]
    assert len(named) == 3 and len({item.UID for item in named}) == 1 and named[0].UID.is_valid  # the device


def test_without_highdicom_the_command_says_how_to_install_it(
    predict: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    film(folder, "a.dcm")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    assert predict(folder, "--sr", "reports") == Exit.FAILED
    error = capsys.readouterr().err
    assert "--sr needs highdicom" in error and installation.install_command("report") in error
    assert not Path("reports").exists()


def test_reports_cannot_be_combined_with_the_stack(predict: Any, folder: Path) -> None:
    film(folder, "a.dcm")
    assert predict(folder, "--sr", "reports", "--remote") == Exit.USAGE


def test_highdicom_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, pneumoctl.cli.predict; print('highdicom' in sys.modules, 'pydicom' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["False", "False"]

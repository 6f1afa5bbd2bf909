"""Write what the model found in a DICOM file as a DICOM structured report (SR) that refers to that file.

The report follows TID 1500 with the model as the device that observed and as the algorithm. It says what the model's
output is; it never states a disease, nor that there is none. highdicom and pydicom are imported when one is written.
"""

import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_OID, uuid5

from model.images.dicom import is_dicom, silence_libraries
from model.serving import words
from model.serving.prediction import Finding, Prediction, Scoring
from pneumoctl import installation
from pneumoctl.atomic import replace_file
from pneumoctl.errors import PneumoError
from pneumoctl.scoring import report_files
from pneumoctl.scoring.score import FileResult

SERIES = "Model output by pneumoctl, not for diagnosis"  # at most 64 characters
NOTICE = "Research and engineering tool. Not a medical device: nothing here is a diagnosis."
MAKER = "pneumoctl"
SCHEME = "99PNEUMOCTL"
_SERIES_NUMBER = 9900
_NEEDED = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_UIDS = _NEEDED[1:]
_EMPTY = (  # may be empty in a report, but must be there
    *("PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
)


class Reports(NamedTuple):
    """Where reports go, and what the predictions were made with."""

    folder: Path
    scoring: Scoring

    def written(self, outcomes: Iterable[FileResult]) -> Iterator[FileResult]:
        """Each outcome, after its report was written if it is a finding; if none could be, it says so and why.

        A refused file and an error get no report: there is nothing that the model assessed.
        """
        return report_files.written(outcomes, lambda document: document["refusal"] is None, self._write)

    def _write(self, file: str, document: Prediction) -> None:
        if document["refusal"] is not None:
            return
        content = report_files.content_of(file, document, self.scoring)
        if not is_dicom(content):
            kind = (document["input"] or {}).get("format", "such a file")
            raise PneumoError(f"{kind} has no study to refer to")
        replace_file(self.folder / f"{document['id']}.dcm", encoded(content, document), 0o600)


def prepare(folder: Path, scoring: Scoring) -> Reports:
    """Reports that go to a folder, which is made; raises PneumoError, also if highdicom is not installed."""
    try:
        import highdicom  # noqa: F401 - before anything is scored
    except ImportError as error:
        raise installation.missing_package("--sr", error, "report") from error
    report_files.make_folder(folder, "--sr")
    return Reports(folder, scoring)


def encoded(content: bytes, document: Finding) -> bytes:
    """The bytes of a report on a DICOM file. Raises PneumoError, with no text of the file's header."""
    from pydicom import dcmread

    silence_libraries()
    try:
        source = dcmread(BytesIO(content), force=True, stop_before_pixels=True)
        lacking = [name for name in _UIDS if not source.get(name)]
        lacking += [name for name in _NEEDED if name not in source and name not in lacking]
        if lacking:
            raise PneumoError(f"its header has no {', '.join(lacking)}")
        for name in _EMPTY:
            if name not in source:
                setattr(source, name, None)
        source.decode()  # then its names can be written in UTF-8, whatever their character set is
        source.SpecificCharacterSet = "ISO_IR 192"
        out = BytesIO()
        _report(source, document).save_as(out, enforce_file_format=True)
        return out.getvalue()
    except (PneumoError, MemoryError):
        raise
    except Exception as error:  # their messages may quote the header
        raise PneumoError("its header is not as DICOM asks for") from error


def _report(source: Any, document: Finding) -> Any:
    from highdicom.sr import EnhancedSR
    from pydicom.uid import generate_uid

    made = EnhancedSR(
        evidence=[source],
        content=_content(source, document)[0],
        series_instance_uid=generate_uid(None),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=generate_uid(None),
        instance_number=1,
        manufacturer=MAKER,
        is_complete=True,
        series_description=SERIES,
        manufacturer_model_name=document["model"]["name"][:64],
        software_versions=document["model"]["version"][:64],
    )
    made.PreliminaryFlag = "PRELIMINARY"
    return made


def _content(source: Any, document: Finding) -> Any:
    """The content tree, TID 1500."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    model = document["model"]
    device = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=_device_uid(model["name"], model["version"]),
            name=model["name"],
            manufacturer_name=MAKER,
            model_name=model["name"],
            serial_number=model["version"],
        ),
    )
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=sr.CodedConcept("399208008", "SCT", "Plain chest X-ray"),
        imaging_measurements=[_group(source, document)],
        title=codes.DCM.ImagingMeasurementReport,
    )


def _device_uid(*names: str) -> str:
    """The UID of a model, the same in all reports by this version of it (PS3.5, B.2: a UID derived from a UUID)."""
    return f"2.25.{uuid5(NAMESPACE_OID, json.dumps([MAKER, *names])).int}"


def _group(source: Any, document: Finding) -> Any:
    """What the model says of the film: its output in words and as numbers, and beside it what to know about them."""
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    point = document["operating_point"]
    point_name = "a threshold given by hand" if point is None else f"operating point {point['name']}"
    above = document["finding"] == "pneumonia"
    output = ("above", "Score at or above threshold") if above else ("below", "Score below threshold")
    algorithm = sr.AlgorithmIdentification(
        name=document["model"]["name"],
        version=document["model"]["version"],
        parameters=[point_name, f"threshold {document['threshold']!r}"],
    )

    def number(code: str, meaning: str, value: float) -> Any:
        return sr.Measurement(name=_own(code, meaning), value=value, unit=codes.UCUM.NoUnits)

    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(None), identifier=document["id"]),
        algorithm_id=algorithm,
        measurements=[
            number("probability", "Model's calibrated P(pneumonia)", document["probability"]),
            number("threshold", "Threshold of the model's output", document["threshold"]),
        ],
        qualitative_evaluations=[sr.QualitativeEvaluation(_own("output", "Output of the model"), _own(*output))],
        source_images=[sr.SourceImageForMeasurementGroup.from_source_image(source)],
    )
    for sentence in _sentences(document):
        group[0].ContentSequence.append(
            sr.TextContentItem(
                name=codes.DCM.Comment, value=sentence, relationship_type=sr.RelationshipTypeValues.CONTAINS
            )
        )
    return group


def _sentences(document: Finding) -> list[str]:
    point = document["operating_point"]
    return [
        NOTICE,
        f"The model's score is {words.finding(document)}.",
        *([] if point is None else words.figures(point)),
        *(f"Caution ({each['code']}): {each['sentence']}" for each in document["cautions"]),
    ]


def _own(code: str, meaning: str) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code, SCHEME, meaning)

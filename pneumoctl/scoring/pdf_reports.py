"""PDF reports: one of each prediction of `predict`, or one of the stored results of a list."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from model.images.decode import decode
from model.images.limits import Refused
from model.serving.prediction import Prediction, Scoring
from pneumoctl import installation
from pneumoctl.atomic import replace_file
from pneumoctl.errors import Exit, PneumoError
from pneumoctl.scoring import pdf_page, report_files, stored_results
from pneumoctl.scoring.api_client import ApiClient
from pneumoctl.scoring.pdf_page import ReportedResult
from pneumoctl.scoring.score import FileResult
from pneumoctl.scoring.stored_results import StoredResult

MOST = 500  # results of one document
_SIDE = 1024  # pixels of a picture
_UNDECODED = "The file could not be decoded."


class Reports(NamedTuple):
    """Where reports go, and what the predictions were made with."""

    folder: Path
    scoring: Scoring

    def written(self, outcomes: Iterable[FileResult]) -> Iterator[FileResult]:
        """Each outcome, after its report was written if it is a finding or a refusal; if not, it says so and why."""
        return report_files.written(outcomes, lambda _: True, self._write)

    def _write(self, file: str, document: Prediction) -> None:
        picture = _drawn(report_files.content_of(file, document, self.scoring))
        result = ReportedResult(Path(file).name, document, picture=picture, no_picture=_UNDECODED)
        out = BytesIO()
        pdf_page.write([result], out)
        replace_file(self.folder / f"{document['id']}.pdf", out.getvalue(), 0o600)


def _drawn(content: bytes) -> bytes | None:
    """The picture in a file as PNG, as large as the store would keep it; None if it cannot be decoded."""
    try:
        grey = decode(content).grey
    except Refused:
        return None
    grey.thumbnail((_SIDE, _SIDE))
    grey.info = {}
    out = BytesIO()
    grey.save(out, "PNG", compress_level=1)
    return out.getvalue()


def require_reportlab(option: str) -> None:
    """Raise PneumoError, with the command that installs it, if reportlab is not here."""
    try:
        import reportlab  # noqa: F401 - before anything is scored or read
    except ImportError as error:
        raise installation.missing_package(option, error, "report") from error


def prepare(folder: Path, scoring: Scoring) -> Reports:
    """Reports that go to a folder, which is made; raises PneumoError, also if reportlab is not installed."""
    require_reportlab("--pdf")
    report_files.make_folder(folder, "--pdf")
    return Reports(folder, scoring)


def save(api: ApiClient, target: Path, chosen: Mapping[str, str] = stored_results.EVERYTHING) -> dict[str, int]:
    """Write the results of a list to a new PDF file; returns what `stored_results.save` does.

    A picture that cannot be read counts as damaged. Raises PneumoError; no file then lies at `target`.
    """
    results: list[ReportedResult] = []
    counts = Counter(results=0, reviewed=0, damaged=0)
    for stored in stored_results.listed(api, chosen):
        if len(results) == MOST:
            raise PneumoError(
                f"the list has more than {MOST} results, the most that one PDF file takes",
                "narrow it, as by --from and --to, or write a CSV file",
                Exit.USAGE,
            )
        result = _reported(api, stored)
        results.append(result)
        counts.update(stored_results.counted(stored))
        failed = result.picture_failed or (result.review_error and not stored.review_error)
        counts["damaged"] += bool(failed) and not (stored.error or stored.review_error)
    with stored_results.new_file(target) as out:
        pdf_page.write(results, out, _subject(chosen))
    return dict(counts)


def _reported(api: ApiClient, stored: StoredResult) -> ReportedResult:
    document = stored.document
    if document is None:
        return ReportedResult(stored.id, None, stored.error or "the record cannot be read")
    picture, why, failed = None, _UNDECODED, False
    try:
        picture = api.picture(stored.id)
    except PneumoError as error:
        why, failed = f"{error.message[:1].upper()}{error.message[1:]}.", True
    if picture is None and not failed and document["input"] is not None:
        why = "It was not kept."
    reviewed, review_error = _reviewed(api, stored)
    return ReportedResult(
        document["file"],
        document,
        picture=picture,
        no_picture=why,
        picture_failed=failed,
        review=stored.review,
        contradicts=stored.contradicts,
        reviewer=stored.reviewer,
        reviewed=reviewed,
        review_error=review_error,
    )


def _reviewed(api: ApiClient, stored: StoredResult) -> tuple[str | None, str]:
    """When the review that counts was made, which the list does not tell, or why it is not known."""
    if stored.review is None or stored.review_error:
        return None, stored.review_error or ""
    try:
        return api.review_time(stored.id, stored.review, stored.reviewer), ""
    except PneumoError as error:
        return None, f"the time of the review is not known: {error.message}"


def _subject(chosen: Mapping[str, str]) -> str:
    """The list in words."""
    filters = [f"{name}: {value}" for name, value in chosen.items() if name != "q"]
    search = [f"in the file name: {chosen['q']}"] if "q" in chosen else []
    return "Results of a list; " + ("; ".join(search + filters) or "all results, newest first")

"""Count what a bundle refuses in folders of real pictures, by kind, with 95 % intervals.

`python -m tests.bench.bench_refusal DATA [--bundle DIR]`. DATA holds the folders of `_KINDS`; one that is missing is
skipped. A picture counts as refused whatever the reason, also when its header or its damage is the reason.
"""

from model.evaluation.intervals import proportion
from tests.bench.real_pictures import folder_and_classifier

_KINDS = {
    "photographs": "ood/photo",
    "documents and graphics": "ood/document_or_graphic",
    "other medical pictures": "ood/other_medical",
    "side views of a chest, without a header": "ood/lateral_chest",
    "DICOM of hands, hips, a tibia, CT, MR": "dicom/other",
    "adults' chest films (ChestX-ray14)": "external/nih_dev",
    "DICOM chest films": "dicom/chest",
}
_NO_PICTURES = {".txt", ".csv", ".md"}


def main() -> None:
    """Print one row of a table for each folder."""
    data, classifier = folder_and_classifier(__doc__)
    print(f"{classifier.bundle.name} {classifier.bundle.version}")
    for kind, folder in _KINDS.items():
        files = sorted(path for path in (data / folder).rglob("*") if path.suffix not in _NO_PICTURES)
        documents = [classifier.predict(path.read_bytes(), path.name) for path in files if path.is_file()]
        refused = [document["file"] for document in documents if document["refusal"] is not None]
        rate = proportion(len(refused), len(documents))
        if rate is not None:
            interval = f"{rate['value']:.3f} ({rate['low']:.3f} to {rate['high']:.3f})"
            print(f"| {kind} | {len(refused)} of {len(documents)} | {interval} |")
            accepted = [document["file"] for document in documents if document["refusal"] is None]
            wrong = refused if "chest films" in kind else accepted
            print("  accepted:" if wrong is accepted else "  refused:", *wrong[:12])


if __name__ == "__main__":
    main()

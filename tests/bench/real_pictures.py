"""The command line of the measurements on real pictures: a folder of them, and the bundle that scores them."""

import argparse
from pathlib import Path

from model import bundle
from model.serving.predict import Classifier


def folder_and_classifier(description: str) -> tuple[Path, Classifier]:
    """The folder DATA of the command line, and the opened bundle of --bundle (default: the shipped one)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", type=Path, default=bundle.pretrained())
    options = parser.parse_args()
    return options.data, Classifier.open(options.bundle)

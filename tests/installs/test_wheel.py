"""The wheel ships what it needs, and no more."""

import zipfile
from pathlib import Path

from tests.installs.conftest import ROOT

SHIPPED = (
    "pneumoctl/_bundle/templates/supervisor/supervisord.conf.j2",
    "pneumoctl/_bundle/templates/systemd/service.j2",
    "pneumoctl/_bundle/terraform/versions.tf",
    "model/pretrained/bundle.json",
    "model/pretrained/model.onnx",
    "webapp/ui/templates/base.html",
    "webapp/api/requirements.txt",
    "webapp/ui/requirements.txt",
)


def test_the_wheel_holds_templates_terraform_and_the_model_and_no_tests(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).infolist()
    assert not set(SHIPPED) - {file.filename for file in files}
    assert not [file.filename for file in files if file.filename.startswith("tests/")]
    assert sum(file.file_size for file in files if "pretrained" in file.filename) < 5e6


def test_the_wheel_holds_every_module_of_the_checkout(wheel: Path) -> None:
    """A pattern of .gitignore that matches a package silently removes it from the wheel."""
    shipped = set(zipfile.ZipFile(wheel).namelist())
    for package in ("pneumoctl", "model", "webapp"):
        files = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert files - shipped == set()

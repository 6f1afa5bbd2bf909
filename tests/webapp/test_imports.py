"""The page and the document types load without the dependencies of the classifier and of the store."""

import subprocess
import sys

import pytest

from tests.webapp.servers import ROOT

HEAVY = {"numpy", "PIL", "onnxruntime", "pydicom", "redis", "tensorflow"}


@pytest.mark.parametrize("module", ["webapp.ui", "webapp.documents", "model.serving.prediction"])
def test_the_page_and_the_documents_load_no_heavy_library(module):
    code = f"import sys, {module}; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in output.split()}
    assert module.partition(".")[0] in loaded and not loaded & HEAVY

"""The classifier: data, network, training, evaluation, bundles and prediction. Usable without the other packages."""

import os

# ONNX Runtime would keep an id of the machine and report to its maker; it looks when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

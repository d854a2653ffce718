"""Training and measuring of defect detectors. Only `network` and `fit` need PyTorch, which nothing
that inspects does.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reads it as it is imported

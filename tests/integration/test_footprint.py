"""What each program can do without: a controller needs neither OpenCV nor a TPM library, an
agent no model runtime, a gateway no database.
"""

import subprocess
import sys

import pytest

BARRED = {
    "framegate_controller.main": ("sqlalchemy", "alembic", "grpc", "authlib", "requests"),
    # a provider's client and the steps of the schema, where there is one, or one to take
    "framegate_controller.commands.run": (
        "cv2",
        "tpm2_pytss",
        "onnxruntime",
        "numpy",
        "paho",
        "alembic",
        "authlib",
        "requests",
    ),
    "framegate_operator.main": (
        "cv2",
        "tpm2_pytss",
        "onnxruntime",
        "paho",
        "sqlalchemy",
        "alembic",
    ),
    "framegate_operator.results": ("cv2", "sqlalchemy", "alembic", "argon2", "pyotp", "authlib"),
    "framegate_operator.signin": ("sqlalchemy", "alembic", "argon2", "pyotp", "authlib"),
    "framegate_operator.audit": ("sqlalchemy", "alembic"),
    "framegate_agent.main": ("onnxruntime", "sqlalchemy", "paho", "cv2"),
    "framegate_gateway.main": (
        "tpm2_pytss",
        "sqlalchemy",
        "cv2",
        "numpy",
        "onnx",
        "onnxruntime",
        "framegate_models",
        "torch",
    ),
    "framegate_agent.camera.capture_child": ("tpm2_pytss", "grpc", "onnxruntime", "cv2"),
    "framegate_agent.camera.sources": ("tpm2_pytss", "grpc", "onnxruntime"),
}


@pytest.mark.parametrize("module", BARRED)
def test_a_program_starts_without_what_it_must_not_need(module):
    bar = "".join(f"sys.modules[{name!r}] = None\n" for name in BARRED[module])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{bar}import {module}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr

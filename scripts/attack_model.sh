#!/bin/sh
# Attacks the shipped model and its second looks; prints the tables. BAD frames for each attack (8; 40 for the whole table), SEED, DATA: DeepPCB's folder. Needs the PyTorch of scripts/model.sh
# in .venv-train, which is made where it is missing.
set -eu
cd "$(dirname "$0")/.."
test -x .venv-train/bin/python || .venv/bin/python -m venv .venv-train
.venv-train/bin/python -c 'import torch, onnx, onnxruntime, cryptography, typer, rich' 2>/dev/null || .venv-train/bin/python -m pip install -q --disable-pip-version-check \
  torch==2.13.0 onnx numpy==2.4.6 opencv-python-headless==5.0.0.93 onnxruntime==1.32.0 cryptography "typer>=0.26,<0.29" rich
PYTHONPATH=core:controller:simulators OPENBLAS_NUM_THREADS=1 .venv-train/bin/python -W ignore -m framegate_simulators.evasion.run \
  --bad "${BAD:-8}" --seed "${SEED:-1}" ${DATA:+--data "$DATA"}

#!/bin/sh
# Trains the default model from nothing, on drawn boards alone, and puts it in place. Takes MINUTES (66 unless said otherwise) and a PyTorch, which is installed into .venv-train by version
# alone: its builds differ from machine to machine, and nothing that Framegate runs needs it.
# BOARDS, SEED, BATCH and SAMPLERS likewise: a GPU is kept busy by BATCH=64 SAMPLERS=6 and done in MINUTES=6.
set -eu
cd "$(dirname "$0")/.."
test -x .venv-train/bin/python || .venv/bin/python -m venv .venv-train
.venv-train/bin/python -c 'import torch, onnx, onnxruntime, cryptography' 2>/dev/null || .venv-train/bin/python -m pip install -q --disable-pip-version-check \
  torch==2.13.0 onnx numpy==2.4.6 opencv-python-headless==5.0.0.93 onnxruntime==1.32.0 cryptography
rm -rf build/model
PYTHONPATH=core:controller:simulators .venv-train/bin/python -W ignore -m framegate_simulators.boards.train --out build/model --minutes "${MINUTES:-66}" --boards "${BOARDS:-6000}" --seed "${SEED:-7}" --batch "${BATCH:-16}" --samplers "${SAMPLERS:-0}"
bundle=controller/framegate_gateway/inference/default_bundle
rm -rf "$bundle"
cp -R build/model "$bundle"

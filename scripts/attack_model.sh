#!/bin/sh
# Attacks the shipped model and its second looks; prints the tables. BAD frames for each attack (8; 40 for the whole table), SEED, DATA: DeepPCB's folder. PyTorch, which nothing that Framegate
# runs needs, is installed into .venv-train, as for scripts/model.sh.
set -eu
cd "$(dirname "$0")/.."
test -x .venv-train/bin/python || .venv/bin/python -m venv .venv-train
.venv-train/bin/python -c 'import torch' 2>/dev/null || .venv-train/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
here=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
PYTHONPATH="core:controller:agent:proto:simulators:$here" OPENBLAS_NUM_THREADS=1 .venv-train/bin/python -W ignore -c 'from framegate_simulators.main import run_app; run_app()' attack-model \
  --bad "${BAD:-8}" --seed "${SEED:-1}" ${DATA:+--data "$DATA"}

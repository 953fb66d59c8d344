#!/bin/sh
# Installs SGLang for CPU into a new or existing venv: tests/engines/install_sglang.sh VENV_DIR
# Its GPU requirements are left out on purpose (pip warns about them); sgl_cpu_shim.py stands in for the kernel package.
set -eu
venv=${1:?usage: install_sglang.sh VENV_DIR}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
marker="$venv/.pir-sglang-0.5.23"
if [ ! -f "$marker" ]; then
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  pip="$venv/bin/python -m pip --disable-pip-version-check"
  $pip install -q torch==2.13.0
  $pip install -q --no-deps sglang==0.5.23 torchvision==0.28.0
  $pip install -q transformers==5.19.0 tokenizers==0.23.3 compressed-tensors==0.18.0 xgrammar==0.2.7 \
    numba==0.65.1 openai==2.8.0 openai-harmony==0.0.4 aiohttp fastapi==0.165.0 uvicorn==0.54.0 uvloop orjson \
    msgspec==0.22.0 pyzmq==27.3.0 pillow psutil setproctitle pybase64 python-multipart partial_json_parser interegular \
    einops dill prometheus-client requests scipy tiktoken xxhash sentencepiece ipython gguf jsonschema soundfile \
    numpy==2.4.6 pydantic==2.14.3 triton==3.9.0
  touch "$marker"
fi
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
cp "$here/sgl_cpu_shim.py" "$site/sgl_cpu_shim.py"
echo 'import sgl_cpu_shim' > "$site/sgl_cpu_shim.pth"

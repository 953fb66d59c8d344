#!/bin/bash
# Installs the gateways that ours is compared with, each into a venv of its own: benchmarks/install_peers.sh FOLDER
# What cannot be installed is left out; the comparison says so.
set -u
folder=${1:?usage: install_peers.sh FOLDER}
python=${PYTHON:-python3}
mkdir -p "$folder"

venv() {
  [ -x "$folder/$1/bin/python" ] || "$python" -m venv "$folder/$1"
}
install() {
  "$folder/$1/bin/python" -m pip --disable-pip-version-check install -q "${@:2}" || echo "$1 could not be installed"
}

if [ ! -x "$folder/smg/bin/smg" ]; then venv smg && install smg smg==1.13.0; fi
if [ ! -x "$folder/vllm-router/bin/vllm-router" ]; then venv vllm-router && install vllm-router vllm-router==0.1.17; fi
# LiteLLM pins some packages newer than any that exist: its requirements without those pins first, then itself alone.
if [ ! -x "$folder/litellm/bin/litellm" ]; then
  venv litellm
  (
    cd "$folder/litellm" || exit 1
    bin/python -m pip --disable-pip-version-check download -q --no-deps litellm==1.109.1
    bin/python - <<'PYTHON'
import email, glob, zipfile
from pip._vendor.packaging.requirements import Requirement

[wheel] = glob.glob("litellm-*.whl")
with zipfile.ZipFile(wheel) as archive:
    name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    wanted = email.message_from_bytes(archive.read(name)).get_all("Requires-Dist")
kept = []
for need in map(Requirement, wanted):
    if need.marker is None or need.marker.evaluate({"extra": "proxy"}):
        loose = need.name in ("certifi", "litellm-proxy-extras", "litellm-enterprise")
        extras = f"[{','.join(need.extras)}]" if need.extras else ""
        kept.append(need.name if loose else f"{need.name}{extras}{need.specifier}")
open("requirements.txt", "w").write("\n".join(kept))
PYTHON
    bin/python -m pip --disable-pip-version-check install -q -r requirements.txt &&
      bin/python -m pip --disable-pip-version-check install -q --no-deps litellm==1.109.1
  ) || echo "litellm could not be installed"
fi

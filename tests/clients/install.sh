#!/usr/bin/env bash
# Puts the stock clients into their own virtual environment ($1) and, where node is, into tests/clients/js/node_modules.
# Quick when nothing has changed.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
venv="${1:?the folder of the virtual environment}"
python="${PYTHON:-python3}"

stamp="$venv/.installed"
if ! cmp -s "$here/requirements.txt" "$stamp"; then
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  echo "Installing the Python clients into $venv ..."
  "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$stamp"
fi

if ! command -v npm >/dev/null; then
  echo "node is not here (Debian: apt install nodejs npm); the JavaScript clients are left out"
  exit 0
fi
if ! cmp -s "$here/js/package-lock.json" "$here/js/node_modules/.installed"; then
  echo "Installing the JavaScript clients into tests/clients/js/node_modules ..."
  npm ci --prefix "$here/js" --silent --no-progress
  cp "$here/js/package-lock.json" "$here/js/node_modules/.installed"
fi

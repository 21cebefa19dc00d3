#!/usr/bin/env bash
# Installs the Debian packages that the build needs and that are missing; with --tests also a Python
# environment in .venv with tests/requirements.txt. Does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(g++ cmake ninja-build ccache pkg-config flatbuffers-compiler libflatbuffers-dev libfmt-dev libcli11-dev nlohmann-json3-dev
  libprotozero-dev libxxhash-dev libpcre2-dev libutf8proc-dev)
# Formats that the operator ImageDecoder reads; a build without one of them reports it when a model asks for it.
packages+=(libjpeg62-turbo-dev libturbojpeg0-dev libpng-dev libtiff-dev libwebp-dev libopenjp2-7-dev)
if [[ ${1:-} == --tests ]]; then
  packages+=(libgtest-dev)
  # Any Python from 3.11 on will do; a machine with one of its own (pyenv, say) needs no other.
  python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || packages+=(python3 python3-venv)
fi

missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == "install ok installed" ]] || missing+=("$package")
done
if ((${#missing[@]})); then
  echo "Installing Debian packages: ${missing[*]}"
  root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "These packages are missing, and there is no sudo to install them: ${missing[*]}" >&2; exit 1; }
    root=(sudo)
  fi
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [[ ${1:-} == --tests ]] && ! cmp -s tests/requirements.txt .venv/requirements.installed; then
  echo "Making the Python environment of the tests (.venv)"
  python3 -m venv .venv
  .venv/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
  cp tests/requirements.txt .venv/requirements.installed
fi

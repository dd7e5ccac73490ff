# shellcheck shell=bash
# Shared by quickstart.sh, test.sh and .ci/run: installs what is missing on a bare Debian 12, builds, fetches test models.
# Sourced from the project's root. Everything that is finished is kept, so that a second run is fast.
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

say() { printf '\n== %s\n' "$*"; }
die() {
  printf '%s\n' "$*" >&2
  exit 1
}

# Three tries, for what goes over the network.
try() {
  local n
  for n in 1 2 3; do
    "$@" && return 0
    [ "$n" = 3 ] || { echo "failed, trying again: $*" >&2; sleep $((n * 5)); }
  done
  return 1
}

# need PACKAGE... : Debian packages, installed if they are not.
need() {
  local missing=() p sudo=()
  for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    # A sudo that this user may not use is none; on a terminal it may ask for the password.
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
      sudo=(sudo "--preserve-env=DEBIAN_FRONTEND,LC_ALL")
    else
      echo "These Debian packages are missing, and there is neither root nor sudo to install them. Please run as root:" >&2
      die "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    fi
  fi
  command -v apt-get >/dev/null || die "Please install, by the names that your system gives them: ${missing[*]}"
  say "installing ${missing[*]}"
  try "${sudo[@]}" apt-get update -qq || die "apt-get update failed"
  try "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || die "apt-get install failed"
}

need_build() { need gcc libc6-dev cmake ninja-build; }

# build PRESET [cmake options...]
build() {
  local preset=$1
  shift
  say "building: $preset"
  mkdir -p build
  cmake --preset "$preset" "$@" >"build/$preset.log" 2>&1 || die "$(cat "build/$preset.log")"
  cmake --build --preset "$preset"
}

# need_venv NAME PINS : the virtual environment .venv/NAME with the packages of PINS, pinned by hash; made again when the
# pins change. Says why if there is no network.
need_venv() {
  local folder=.venv/$1 pins=$2
  cmp -s "$pins" "$folder/installed" && return 0
  need python3 python3-venv
  say "installing the packages of $pins into $folder"
  rm -rf "$folder"
  python3 -m venv "$folder"
  try "$folder/bin/python" -m pip install --quiet --no-deps --only-binary :all: --require-hashes -r "$pins" ||
    die "pip install failed: the packages of $pins come over the network (PyPI, or the index that pip is set to)"
  cp "$pins" "$folder/installed"
}

# The virtual environment of tools/convert; PYTHON is its interpreter.
PYTHON=.venv/convert/bin/python
need_converter() { need_venv convert tools/convert/requirements.txt; }

# model FOLDER NAME TYPE : sets MODEL to FOLDER/NAME-TYPE.gguf, which is fetched and converted if it is not there. The
# HuggingFace folder is kept beside it until drop_sources.
model() {
  local folder=$1 name=$2 type=$3 sum
  MODEL=$folder/$name-$type.gguf
  [ ! -e "$MODEL" ] || return 0
  need_converter
  mkdir -p "$folder"
  say "fetching $name"
  "$PYTHON" tools/convert/fetch.py "$name" "$folder/hf-$name"
  say "converting to $MODEL"
  "$PYTHON" tools/convert/convert.py "$folder/hf-$name" "$MODEL" --type "$type"
  sum=$(sha256sum "$MODEL")
  grep -q "^${sum%% *}  $name-$type.gguf\$" tools/convert/SHA256SUMS || {
    rm -f "$MODEL"
    die "$MODEL: its sha256 is not the one in tools/convert/SHA256SUMS"
  }
}

drop_sources() { rm -rf "$1"/hf-all-minilm-l6-v2 "$1"/hf-embeddinggemma-300m; }

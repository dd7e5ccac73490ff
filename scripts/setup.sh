# shellcheck shell=bash
# Shared by quickstart.sh, test.sh and .ci/run: finds what is needed, or installs it on Debian, builds, fetches test models.
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

# What a step needs is looked for by what it does (a command that answers, a program that compiles), never by a package:
# any system that has the tools will do. Where some are missing and there is apt-get, Debian's packages bring them.

# want NAME PACKAGES COMMAND... : the thing called NAME is missing if COMMAND fails; PACKAGES bring it on Debian.
want() {
  local name=$1 packages=$2
  shift 2
  "$@" >/dev/null 2>&1 && return 0
  MISSING+=("$name")
  read -ra packages <<<"$packages"
  PACKAGES+=("${packages[@]}")
}

# need GROUP... : all that the functions want_GROUP ask for, installed if it is not there.
need() {
  local group sudo=()
  MISSING=() PACKAGES=()
  for group in "$@"; do "want_$group"; done
  [ ${#MISSING[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || missing
  if [ "$(id -u)" != 0 ]; then
    # A sudo that this user may not use is none; on a terminal it may ask for the password.
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
      sudo=(sudo "--preserve-env=DEBIAN_FRONTEND,LC_ALL")
    else
      echo "There is neither root nor sudo to install what is missing: $(join "${MISSING[@]}"). Please run as root:" >&2
      die "apt-get update && apt-get install -y --no-install-recommends ${PACKAGES[*]}"
    fi
  fi
  say "installing ${PACKAGES[*]}"
  try "${sudo[@]}" apt-get update -qq || die "apt-get update failed; missing: $(join "${MISSING[@]}")"
  try "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" >/dev/null || die "apt-get install failed"
  MISSING=() PACKAGES=()
  for group in "$@"; do "want_$group"; done
  [ ${#MISSING[@]} = 0 ] || missing
}

join() {
  local out=$1
  shift
  for name in "$@"; do out+=", $name"; done
  printf '%s' "$out"
}

missing() {
  die "Missing: $(join "${MISSING[@]}"). Please install it, by the names that your system gives it, and run this again."
}

# The C compiler that CMake would take.
compiler() {
  local name
  for name in ${CC:+"$CC"} cc gcc clang; do
    command -v "$name" >/dev/null && { echo "$name"; return 0; }
  done
  return 1
}

# compiles CODE [FLAG...] : whether a C program does, with its headers and libraries.
compiles() {
  local cc code=$1 out rc=0
  shift
  cc=$(compiler) || return 1
  out=$(mktemp) || return 1
  printf '%b' "$code" | "$cc" -std=c11 -x c - -o "$out" "$@" || rc=$?
  rm -f "$out"
  return "$rc"
}

# cmake_is MAJOR MINOR : that or newer.
cmake_is() {
  local version
  version=$(cmake --version) || return 1
  [[ $version =~ ([0-9]+)\.([0-9]+) ]] || return 1
  ((BASH_REMATCH[1] > $1 || (BASH_REMATCH[1] == $1 && BASH_REMATCH[2] >= $2)))
}

ninja_is() { command -v ninja || command -v ninja-build || command -v samu; }

want_build() {
  want "a C compiler with the C library's headers (gcc or clang)" "gcc libc6-dev" \
    compiles '#include <pthread.h>\n#include <stdio.h>\n#include <math.h>\nint main(void) { return puts("x") < 0; }\n' -lm -pthread
  want "CMake 3.25 or newer" cmake cmake_is 3 25
  want "Ninja" ninja-build ninja_is
}

want_venv() { want "Python 3.9 or newer with venv and ensurepip" "python3 python3-venv" \
  python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))'; }

want_tests() {
  want "Python 3.9 or newer" python3 python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'
  want "cmocka (header and library)" libcmocka-dev \
    compiles '#include <setjmp.h>\n#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <cmocka.h>\nint main(void) { return 0; }\n' -lcmocka
  want "pkg-config" pkg-config pkg-config --version
}

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
  need venv
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

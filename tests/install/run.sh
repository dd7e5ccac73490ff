#!/usr/bin/env bash
# Installs the build into a scratch prefix and uses it as a stranger would: through pkg-config (shared and static),
# through find_package, and by running the installed program.
#   run.sh BUILD_DIR [C_COMPILER]
set -euo pipefail
build=$1 cc=${2:-cc}
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
cmake --install "$build" --prefix "$tmp/prefix" >/dev/null
version=$("$tmp/prefix/bin/strata" version | awk 'NR == 1 { print $2 }')

pc=$(find "$tmp/prefix" -name strata.pc)
[ -n "$pc" ] || { echo "strata.pc was not installed"; exit 1; }
# What a program asks the loader for, and what is there for it.
soname="libstrata.so.${version%.*}"
[ -n "$(find "$tmp/prefix" -name "$soname")" ] || { echo "$soname was not installed"; exit 1; }
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=${pc%/*}
  libdir=$(pkg-config --variable=libdir strata)
  read -ra flags <<<"$(pkg-config --cflags --libs strata)"
  "$cc" -std=c11 "$here/main.c" "${flags[@]}" -Wl,-rpath,"$libdir" -o "$tmp/shared"
  [ "$("$tmp/shared")" = "$version" ]
  read -ra flags <<<"$(pkg-config --cflags strata)"
  "$cc" -std=c11 "$here/main.c" "${flags[@]}" "$libdir/libstrata.a" -lm -pthread -o "$tmp/static"
  [ "$("$tmp/static")" = "$version" ]
  [ "$(pkg-config --modversion strata)" = "$version" ]
else
  echo "pkg-config not found: only find_package is tested"
fi

cmake -S "$here" -B "$tmp/consumer" -DCMAKE_PREFIX_PATH="$tmp/prefix" -DCMAKE_C_COMPILER="$cc" >"$tmp/log" || { cat "$tmp/log"; exit 1; }
cmake --build "$tmp/consumer" >"$tmp/log" || { cat "$tmp/log"; exit 1; }
[ "$("$tmp/consumer/with_shared")" = "$version" ]
[ "$("$tmp/consumer/with_static")" = "$version" ]
echo "install: ok, version $version"

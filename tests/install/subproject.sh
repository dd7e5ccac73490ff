#!/usr/bin/env bash
# Builds strata inside a stranger's project, by add_subdirectory or by FetchContent of an archive: with the parent's
# compiler and flags, nothing of strata's own in the parent.
#   subproject.sh SOURCE_DIR C_COMPILER add_subdirectory|fetch [build]   environment: CMAKE, CMAKE_GENERATOR,
#                                                                        CMAKE_MAKE_PROGRAM
# Without "build" it configures and looks at what would be compiled: a whole library takes minutes.
set -euo pipefail
source=$1 cc=$2 how=$3 cmake=${CMAKE:-cmake}
here=$(cd "$(dirname "$0")/subproject" && pwd)
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
# -O0: the right sources, options and targets are in question, not their speed.
options=(-DHOW="$how" -DSTRATA_SOURCE="$source" -DCMAKE_C_COMPILER="$cc" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O0
  -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)
[ -z "${CMAKE_MAKE_PROGRAM:-}" ] || options+=(-DCMAKE_MAKE_PROGRAM="$CMAKE_MAKE_PROGRAM")
if [ "$how" = fetch ]; then
  tar -C "$source" -czf "$tmp/strata.tar.gz" CMakeLists.txt cmake include src
  options+=(-DSTRATA_ARCHIVE="file://$tmp/strata.tar.gz")
fi
"$cmake" -S "$here" -B "$tmp/build" "${options[@]}" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
sources() { sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$tmp/build/compile_commands.json" | sort -u; }
mine=$(sources | grep -c "^$here/src/") all=$(sources | wc -l) want=$(find "$source/src" -name '*.c' | wc -l)
if [ "$mine" != 1 ] || [ "$all" != $((want + 1)) ]; then
  echo "the project compiles $all files, $mine of its own; want $((want + 1)) and 1"
  exit 1
fi
if [ "${4:-}" != build ]; then
  echo "subproject by $how: ok, $all files"
  exit
fi
"$cmake" --build "$tmp/build" -j "$(nproc)" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
version=$(awk '/^#define STRATA_VERSION +"/ || $2 == "STRATA_VERSION" { gsub(/"/, "", $3); print $3; exit }' "$source/include/strata.h")
for program in with_shared with_static; do
  [ "$("$tmp/build/$program")" = "$version" ] || { echo "$program is not version $version"; exit 1; }
done
"$cmake" --install "$tmp/build" --prefix "$tmp/prefix" >/dev/null
[ "$(find "$tmp/prefix" -type f | wc -l)" = 1 ] || { echo "the project installs strata with it:"; find "$tmp/prefix" -type f; exit 1; }
if find "$tmp/build" -maxdepth 1 -name 'libstrata*' | grep .; then echo "strata's libraries lie in the project's build folder"; exit 1; fi
echo "subproject by $how: ok, version $version"

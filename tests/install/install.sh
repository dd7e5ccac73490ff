#!/usr/bin/env bash
# Installs the build into a scratch prefix and uses it as a stranger would: through pkg-config (shared and static),
# through find_package from C and, where there is a compiler for it, C++, and by running the installed program.
#   install.sh BUILD_DIR [C_COMPILER]      environment: CMAKE, CMAKE_GENERATOR, CMAKE_MAKE_PROGRAM
set -euo pipefail
build=$1 cc=${2:-cc} cmake=${CMAKE:-cmake}
here=$(cd "$(dirname "$0")/package" && pwd)
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
"$cmake" --install "$build" --prefix "$tmp/first" >/dev/null
mv "$tmp/first" "$tmp/prefix" # an installed tree can be moved
version=$("$tmp/prefix/bin/strata" version | awk 'NR == 1 { print $2 }')

pc=$(find "$tmp/prefix" -name strata.pc)
[ -n "$pc" ] || { echo "strata.pc was not installed"; exit 1; }
# What a program asks the loader for, and what is there for it.
soname="libstrata.so.${version%.*}"
[ -n "$(find "$tmp/prefix" -name "$soname")" ] || { echo "$soname was not installed"; exit 1; }
# Manual pages and completions, which the program prints: one page a command, and what is installed is what it says.
man=$(dirname "$(find "$tmp/prefix" -path '*/man1/strata.1')")
share=$tmp/prefix/share
cmp <("$tmp/prefix/bin/strata" man) "$man/strata.1"
n=1
while read -r command; do
  cmp <("$tmp/prefix/bin/strata" man "$command") "$man/strata-$command.1"
  n=$((n + 1))
done < <("$tmp/prefix/bin/strata" help | sed -n '/^Examples/q; s/^  strata \([a-z]*\) .*/\1/p')
if [ "$n" -lt 10 ] || [ "$(find "$man" -type f | wc -l)" != "$n" ]; then
  echo "$n manual pages were expected in $man" >&2
  exit 1
fi
cmp <("$tmp/prefix/bin/strata" completion bash) "$share/bash-completion/completions/strata"
cmp <("$tmp/prefix/bin/strata" completion zsh) "$share/zsh/site-functions/_strata"
cmp <("$tmp/prefix/bin/strata" completion fish) "$share/fish/vendor_completions.d/strata.fish"
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

options=(-DCMAKE_PREFIX_PATH="$tmp/prefix" -DCMAKE_C_COMPILER="$cc")
[ -z "${CMAKE_MAKE_PROGRAM:-}" ] || options+=(-DCMAKE_MAKE_PROGRAM="$CMAKE_MAKE_PROGRAM")
"$cmake" -S "$here" -B "$tmp/consumer" "${options[@]}" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
"$cmake" --build "$tmp/consumer" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
for program in "$tmp"/consumer/{with,cpp}_{shared,static}; do
  [ -x "$program" ] || { [[ $program = */cpp_* ]] && continue; }
  [ "$("$program")" = "$version" ]
done
[ -x "$tmp/consumer/cpp_shared" ] || echo "no C++ compiler: the header is tested from C only"
echo "install: ok, version $version"

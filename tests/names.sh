#!/usr/bin/env bash
# A name in a backtrace is a place: no two files of src/ have a static function of one name. Kernels are left out,
# since an instruction set's file holds the same functions as the others', and so is what their macros and quant's make.
#   names.sh [SOURCE_DIR]     names each that stands twice; exit 1 if there is one
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"
mapfile -t files < <(find src -name '*.c' -not -path '*/kernels/*' | sort)
awk '
# A definition begins a line, and its body the next line that begins with a brace.
/^(static|__attribute__.*static) / && /\(/ && !/[;=]/ {
  name = $0; gsub(/__attribute__\(\(.*\)\)/, "", name); sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
  where[name] = where[name] " " FILENAME; if (seen[name, FILENAME]++ == 0) n[name]++
}
END { for (name in n) if (n[name] > 1) { print name ":" where[name]; failed = 1 } exit failed }
' "${files[@]}" || { echo "a static function carries the noun of its file" >&2; exit 1; }
echo "names: ok"

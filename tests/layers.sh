#!/usr/bin/env bash
# The layer rule: a folder includes the folders that its row of the table below names, and itself. See
# docs/ARCHITECTURE.md. Also: the program sees strata.h alone, and what needs nothing of strata: base/os/outfile.h,
# base/os/host.h, and sample/knobs.def, the list of knobs that its options are made of; OS headers stay in src/base/os,
# intrinsics in src/backend/cpu/kernels/{k,v16}_*, src/base/os and src/base/fp.c.
#   layers.sh [SOURCE_DIR]     names each bad #include as file:line; exit 1 if there is one
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

# "include" is the public header, "backend" the seam that all backends share, not the folders below it.
table='
base                 | include
base/os              | include base
quant                | include base
gguf                 | include base base/os quant
token                | include base base/os gguf
template             | include base base/os
grammar              | include base base/os
grammar/schema       | include base base/os grammar
sample               | include base base/os
model                | include base base/os gguf quant
backend              | include base base/os model
backend/cpu/kernels  | include base base/os model
backend/cpu          | include base base/os quant model backend backend/cpu/kernels
engine               | include base base/os quant gguf token template grammar grammar/schema sample model backend
convert              | include base base/os quant gguf
check                | include base base/os quant engine
api                  | include base base/os sample engine convert check
'

mapfile -t files < <(find include src cli \( -name '*.[ch]' -o -name '*.inc' -o -name '*.def' \) | sort)
awk -v table="$table" '
function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
function bad(why) { printf "%s:%d: %s: %s\n", FILENAME, FNR, why, $0; failed = 1 }
BEGIN {
  n = split(table, rows, "\n")
  for (i = 1; i <= n; i++) {
    if (split(rows[i], side, "|") != 2) continue
    gsub(/ /, "", side[1]); known[side[1]] = 1; may[side[1], side[1]] = 1
    m = split(side[2], names, " ")
    for (j = 1; j <= m; j++) may[side[1], names[j]] = 1
  }
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
  dir = folder(FILENAME); name = $0; sub(/^[^"]*"/, "", name); sub(/".*/, "", name)
  if (FILENAME ~ /^src\/base\/os\/(outfile|host)\.[ch]$/ && name !~ /^base\/os\/(outfile|host)\.h$/) bad("stands alone, for the program includes it too")
  if (FILENAME == "src/sample/knobs.def") bad("the list of knobs stands alone, for the program includes it too")
  if (dir == "include") { bad("strata.h includes nothing of ours"); next }
  if (dir ~ /^cli/) {
    # The program: its own folders, the public header, two of the system, and one list of knobs.
    if (name ~ /^(base|quant|gguf|token|template|grammar|sample|model|backend|engine|convert|check|api)\// && name !~ /^base\/os\/(outfile|host)\.h$/ && name != "sample/knobs.def") bad("cli sees only strata.h")
    next
  }
  sub(/^src\//, "", dir)
  # A header written without a folder stands beside the file, unless it is the public one.
  to = name == "strata.h" ? "include" : index(name, "/") ? folder(name) : dir
  if (!(dir in known)) { bad("a folder without a row in tests/layers.sh"); next }
  if (!(to in known) && to != "include") { bad("includes an unknown folder, " to); next }
  if (FILENAME == "src/backend/registry.c" && to ~ /^backend\//) next # the one file that lists the backends
  if (!((dir, to) in may)) bad(dir " may not include " to)
}
/^[ \t]*#[ \t]*include[ \t]*<(unistd|fcntl|pthread|sched|dlfcn|sys\/[a-z]+)\.h>/ && FILENAME ~ /^src\// && FILENAME !~ /^src\/base\/os\// {
  bad("OS header outside src/base/os")
}
/^[ \t]*#[ \t]*include[ \t]*<([a-z]*intrin|arm_[a-z0-9_]+)\.h>/ && FILENAME ~ /^src\// && FILENAME !~ /^src\/(backend\/cpu\/kernels\/(k_|v16_)|base\/os\/|base\/fp\.c)/ {
  bad("intrinsics outside src/backend/cpu/kernels/{k,v16}_*")
}
END { exit failed }
' "${files[@]}" || { echo "layer rule broken" >&2; exit 1; }

# File names are unique, so that a name in a message or a stack trace is a place.
twice=$(find src -name '*.[ch]' -printf '%f\n' | sort | uniq -d)
[ -z "$twice" ] || { echo "file names that stand twice in src/: $twice" >&2; exit 1; }
echo "layers: ok"

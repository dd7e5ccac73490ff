#!/usr/bin/env bash
# The layer rule: a folder includes the folders that its row of the table below names, and itself. See
# docs/ARCHITECTURE.md. Also: the program sees strata.h alone, and the modules of `alone` below, which need nothing of
# strata but each other; OS headers stay in src/base/os, intrinsics in src/backend/cpu/kernels/{k,v16}_*, src/base/os
# and src/base/fp.c.
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

# What library and program share: a way to write a file, what machine this is, a reader of JSON, UTF-8, the list of the
# sampler's knobs.
alone='base/os/outfile base/os/host base/json base/utf8 base/ascii sample/knobs'

mapfile -t files < <(find include src cli \( -name '*.[ch]' -o -name '*.inc' -o -name '*.def' \) | sort)
awk -v table="$table" -v alone="$alone" '
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
  n = split(alone, names, " ")
  m = split("h c def", kinds, " ")
  for (i = 1; i <= n; i++)
    for (j = 1; j <= m; j++) shared[names[i] "." kinds[j]] = needs_nothing["src/" names[i] "." kinds[j]] = 1
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
  dir = folder(FILENAME); name = $0; sub(/^[^"]*"/, "", name); sub(/".*/, "", name)
  if (FILENAME in needs_nothing && !(name in shared)) bad("stands alone, for the program includes it too")
  if (dir == "include") { bad("strata.h includes nothing of ours"); next }
  if (dir ~ /^cli/) {
    # The program: its own folders, the public header, and what is shared.
    if (name ~ /^(base|quant|gguf|token|template|grammar|sample|model|backend|engine|convert|check|api)\// && !(name in shared)) bad("cli sees only strata.h")
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

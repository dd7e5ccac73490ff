#!/usr/bin/env bash
# The layer rule: data flows down the list of folders, and a folder includes only folders above it. See
# docs/ARCHITECTURE.md. Also: the program sees strata.h alone, and base/outfile.h, which needs nothing of strata; OS
# headers stay in src/base, intrinsics in src/backend/cpu/{k,v16}_*.
#   layers.sh [SOURCE_DIR]     names each bad #include as file:line; exit 1 if there is one
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

mapfile -t files < <(find include src cli \( -name '*.[ch]' -o -name '*.inc' \) | sort)
awk '
function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
function bad(why) { printf "%s:%d: %s: %s\n", FILENAME, FNR, why, $0; failed = 1 }
# A header written without a folder stands beside the file, unless it is the public one.
function target(name, dir) {
  if (name == "strata.h") return "include"
  if (index(name, "/") == 0) return dir
  return "src/" folder(name)
}
BEGIN {
  n = split("include src/base src/quant src/gguf src/token src/model src/backend src/backend/cpu src/run src/api", order, " ")
  for (i = 1; i <= n; i++) rank[order[i]] = i
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
  dir = folder(FILENAME); name = $0; sub(/^[^"]*"/, "", name); sub(/".*/, "", name); to = target(name, dir)
  if (FILENAME ~ /^src\/base\/outfile\.[ch]$/ && name != "base/outfile.h") bad("outfile stands alone, for the program includes it too")
  if (dir == "cli" && name == "base/outfile.h") next # one rule for files that are written
  if (dir == "cli") { if (to != "cli" && to != "include") bad("cli sees only strata.h") ; next }
  if (!(dir in rank)) { bad("folder without a place in the order (tests/layers.sh)"); next }
  if (!(to in rank)) { bad("includes an unknown folder " to); next }
  if (FILENAME == "src/backend/registry.c" && to ~ /^src\/backend\//) next # the one file that lists the backends
  if (rank[to] > rank[dir]) bad("upward include, " dir " -> " to)
  # Backends are reached through the seam only.
  if (to ~ /^src\/backend\// && to != dir) bad("only backend.h is for others, " dir " -> " to)
}
/^[ \t]*#[ \t]*include[ \t]*<(unistd|fcntl|pthread|sched|dlfcn|sys\/[a-z]+)\.h>/ && FILENAME ~ /^src\// && FILENAME !~ /^src\/base\// {
  bad("OS header outside src/base")
}
/^[ \t]*#[ \t]*include[ \t]*<([a-z]*intrin|arm_[a-z0-9_]+)\.h>/ && FILENAME ~ /^src\// && FILENAME !~ /^src\/(backend\/cpu\/(k_|v16_)|base\/)/ {
  bad("intrinsics outside src/backend/cpu/{k,v16}_*")
}
END { exit failed }
' "${files[@]}" || { echo "layer rule broken" >&2; exit 1; }

# File names are unique, so that a name in a message or a stack trace is a place.
twice=$(find src -name '*.[ch]' -printf '%f\n' | sort | uniq -d)
[ -z "$twice" ] || { echo "file names that stand twice in src/: $twice" >&2; exit 1; }
echo "layers: ok"

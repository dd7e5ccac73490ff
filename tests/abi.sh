#!/usr/bin/env bash
# Every struct of strata.h and every field of it stands in the table tests/unit/abi.def, whose numbers test_abi.c holds
# the compiler to, and nothing else does, in the header's order.
#   abi.sh HEADER TABLE           prints what differs; exit 1 if anything does
#   abi.sh --table HEADER         the table for the header as it is on this machine, for a new minor version; needs cc
set -euo pipefail

# "type field" for each field of each struct that has a body, and "type" for the struct itself, before its fields.
members() {
  awk '
  { text = text $0 "\n" }
  END {
    # Comments, directives, and what is no more than a line of a macro.
    while (match(text, /\/\*([^*]|\*+[^*\/])*\*+\//)) text = substr(text, 1, RSTART - 1) " " substr(text, RSTART + RLENGTH)
    n = split(text, line, "\n"); text = ""; more = 0
    for (i = 1; i <= n; i++) {
      if (more || line[i] ~ /^[ \t]*#/) { more = line[i] ~ /\\$/; continue }
      text = text " " line[i]
    }
    while (match(text, /struct[ ]+[A-Za-z_0-9]+[ ]*[{]/)) {
      head = substr(text, RSTART, RLENGTH); text = substr(text, RSTART + RLENGTH)
      sub(/^struct[ ]+/, "", head); sub(/[ ]*[{]$/, "", head)
      print head
      end = index(text, "}"); body = substr(text, 1, end - 1); text = substr(text, end)
      if (body ~ /[{]/) { print "a struct inside a struct: " head > "/dev/stderr"; exit 2 }
      n = split(body, decl, ";")
      for (i = 1; i <= n; i++) {
        d = decl[i]
        if (d ~ /^[ \t]*$/) continue
        if (match(d, /\([ ]*\*[ ]*[A-Za-z_0-9]+[ ]*\)/)) { # a pointer to a function
          d = substr(d, RSTART, RLENGTH); gsub(/[^A-Za-z_0-9]/, "", d); print head, d
          continue
        }
        gsub(/\[[^]]*\]/, "", d)
        m = split(d, name, ",")
        for (j = 1; j <= m; j++) { sub(/[ ]+$/, "", name[j]); sub(/^.*[^A-Za-z_0-9]/, "", name[j]); print head, name[j] }
      }
    }
  }' "$1"
}

if [ "${1:-}" = --table ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  {
    printf '#include "%s"\n#include <stdio.h>\nint main(void)\n{\n' "$(realpath "$2")"
    members "$2" | awk '
      NF == 1 { printf "    printf(\"ABI_STRUCT(%s, %%zu)\\n\", sizeof(%s));\n", $1, $1 }
      NF == 2 { printf "    printf(\"ABI_FIELD(%s, %s, %%zu, %%zu)\\n\", offsetof(%s, %s), sizeof((%s *)0)->%s);\n", $1, $2, $1, $2, $1, $2 }'
    printf '}\n'
  } >"$work/table.c"
  "${CC:-cc}" -std=c11 -o "$work/table" "$work/table.c"
  "$work/table"
  exit
fi

[ $# = 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }
declared=$(members "$1")
pinned=$(sed -nE 's/^ABI_STRUCT\(([A-Za-z_0-9]+), [0-9]+\)$/\1/p; s/^ABI_FIELD\(([A-Za-z_0-9]+), ([A-Za-z_0-9]+), [0-9]+, [0-9]+\)$/\1 \2/p' "$2")
[ "$(grep -c . <<<"$declared")" -gt 100 ] || { echo "$1: too few structs and fields were understood" >&2; exit 1; }
diff <(echo "$declared") <(echo "$pinned") || { echo "strata.h (<) and tests/unit/abi.def (>) name different things" >&2; exit 1; }
echo "abi: $(grep -vc ' ' <<<"$declared") structs, $(grep -c ' ' <<<"$declared") fields"

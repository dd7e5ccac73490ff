#!/usr/bin/env bash
# Fails when a hot loop of a kernel moves a vector register to or from the stack: the compiler ran out of registers, and
# the kernel is up to a third slower without any test noticing. Hot loops are the loops of functions named hot_* (k_*.c).
#
#     spills.sh OBJDUMP OBJECT...
set -euo pipefail
objdump=$1
shift
"$objdump" -d --no-show-raw-insn "$@" | awk '
function hex(s,   i, v) {
    v = 0
    for (i = 1; i <= length(s); i++) v = v * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
    return v
}
# Lines in a loop: from the target of a jump backwards to the jump.
function finish(   i, j, n) {
    if (name == "") return
    functions++
    for (i = 1; i <= lines; i++)
        if (target[i] > 0 && target[i] <= addr[i])
            for (j = i; j >= 1 && addr[j] >= target[i]; j--) looped[j] = 1
    for (i = 1; i <= lines; i++) {
        if (!looped[i]) continue
        in_loops++
        if (text[i] ~ stack || (frame && text[i] ~ framed)) {
            if (n++ == 0) print name ": vector registers on the stack inside a loop"
            if (n <= 3) print "    " text[i]
            bad++
        }
    }
}
BEGIN {
    # x86: a vector register and an address from rsp (or from rbp where it is the frame). Arm: str/ldr q or v and [sp or [x29.
    stack = "[xyz]mm.*\\(%rsp|\\(%rsp.*[xyz]mm|(st|ld)[a-z0-9]*[ \t]+\\{?[qvd][0-9].*\\[sp"
    framed = "[xyz]mm.*\\(%rbp|\\(%rbp.*[xyz]mm|(st|ld)[a-z0-9]*[ \t]+\\{?[qvd][0-9].*\\[x29"
}
/^[0-9a-f]+ <.*>:$/ {
    finish()
    name = $2
    gsub(/[<>:]/, "", name)
    if (name !~ /^hot_/) name = ""
    split("", addr); split("", text); split("", target); split("", looped)
    lines = frame = 0
    next
}
name != "" && /^ *[0-9a-f]+:\t/ {
    lines++
    a = $1
    sub(/:$/, "", a)
    addr[lines] = hex(a)
    text[lines] = $0
    if ($0 ~ /mov +%rsp,%rbp|mov\tx29, sp/) frame = 1
    # Conditional jumps only: the unconditional ones that go back come from blocks that are moved out of the way.
    if ($2 ~ /^j[^m]|^b\.|^cb|^tb/ && match($0, /[0-9a-f]+ </)) target[lines] = hex(substr($0, RSTART, RLENGTH - 2))
}
END {
    finish()
    if (functions == 0 || in_loops == 0) { print "no hot loops found: was the object stripped?"; exit 1 }
    printf "%d hot functions, %d instructions in their loops, %d on the stack\n", functions, in_loops, bad
    exit bad > 0
}'

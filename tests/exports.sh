#!/usr/bin/env bash
# The shared library needs libc, libm and the loader alone, and shows the functions of strata.h and nothing else.
#   exports.sh LIBRARY HEADER [NM [READELF]]
set -euo pipefail
library=$1 header=$2 nm=${3:-nm} readelf=${4:-readelf}
failed=0

needed=$("$readelf" -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
# pthread and dl are part of libc since glibc 2.34; older systems list them.
other=$(grep -vE '^(libc|libm|libpthread|libdl)\.so\.[0-9]+$|^ld-linux[^/]*$' <<<"$needed" || true)
[ -z "$other" ] || { echo "needs more than libc and libm: $other"; failed=1; }

# The ABI holds for a minor version while the major one is 0, as the CMake package says.
version() { sed -n "s/^#define STRATA_VERSION_$1 \\+//p" "$header"; }
want="libstrata.so.$(version MAJOR).$(version MINOR)"
soname=$("$readelf" -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p')
[ "$soname" = "$want" ] || { echo "SONAME is $soname, want $want"; failed=1; }

shown=$("$nm" -D --defined-only "$library" | awk '{ print $NF }' | sort)
other=$(grep -v '^strata_' <<<"$shown" || true)
[ -z "$other" ] || { echo "symbols that are not strata_: $other"; failed=1; }

declared=$(grep -oE '\bstrata_[a-z0-9_]+\(' <(sed -e 's@/\*.*\*/@@' "$header" | awk '/^STRATA_API/') | tr -d '(' | sort -u)
difference=$(diff <(echo "$declared") <(echo "$shown") || true)
[ -z "$difference" ] || { echo "declared (<) and exported (>) differ:"; echo "$difference"; failed=1; }

echo "needs: $(tr '\n' ' ' <<<"$needed")"
echo "exports: $(wc -l <<<"$shown") functions"
exit $failed

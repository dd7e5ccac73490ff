#!/usr/bin/env bash
# What only one system has stays in src/base/os, behind its #if; all else is C11 and POSIX.
#   portable.sh [SOURCE_DIR]            no word of Linux or the GNU library elsewhere in include, src and cli
#   portable.sh --darwin [SOURCE_DIR]   all of src and cli compiled for macOS, x86-64 and arm64, as far as clang goes
#                                       without Apple's headers: portable/darwin/README.md
# Names each place as file:line; exit 1 if there is one.
set -euo pipefail
darwin=0
[ "${1:-}" != --darwin ] || { darwin=1; shift; }
cd "${1:-$(dirname "$0")/..}"

if [ "$darwin" = 1 ]; then
  mapfile -t files < <(find src cli -name '*.c' | sort)
  # shellcheck disable=SC2317 # xargs calls it
  compile() { # TARGET FILE
    clang --target="$1" -std=c11 -fsyntax-only -nostdlibinc -isystem tests/portable/darwin/include -Wall -Wextra \
      -Wpedantic -Werror -ffp-contract=off -Iinclude -Isrc -Icli "$2"
  }
  export -f compile
  for target in x86_64-apple-macosx11 arm64-apple-macosx11; do
    printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -I{} bash -c 'compile "$@"' _ "$target" {} ||
      { echo "does not compile for $target" >&2; exit 1; }
    echo "portable: $target: ${#files[@]} files compile"
  done
  exit
fi

# Headers, feature macros, calls, constants and paths that macOS lacks. A word that is missing here is still no name that
# the headers of portable/darwin declare.
words='
_GNU_SOURCE sys/prctl sys/syscall sys/auxv sys/vfs sys/statfs sys/sysinfo sys/epoll sys/eventfd sys/inotify
sys/signalfd sys/timerfd sys/sendfile sys/random malloc.h features.h argp.h error.h>
syscall prctl clone unshare getauxval getrandom gettid sched_getaffinity sched_setaffinity cpu_set_t CPU_SET CPU_COUNT
pthread_setaffinity_np pthread_getaffinity_np pthread_attr_setaffinity_np pthread_timedjoin_np pthread_tryjoin_np
posix_fadvise readahead fallocate memfd_create mremap madvise MADV_[A-Z]+ MAP_POPULATE MAP_HUGETLB MAP_NORESERVE MAP_STACK
O_TMPFILE O_PATH O_DIRECT O_LARGEFILE O_NOATIME AT_EMPTY_PATH renameat2 statx statfs fstatfs copy_file_range splice tee
pipe2 dup3 accept4 epoll_[a-z0-9]+ eventfd inotify_[a-z0-9]+ signalfd timerfd_[a-z]+ sendfile sigtimedwait sigwaitinfo
sigqueue ppoll mkostemp mkostemps get_nprocs sysinfo secure_getenv program_invocation_name program_invocation_short_name
strchrnul memrchr mempcpy rawmemchr strverscmp canonicalize_file_name asprintf vasprintf qsort_r sincos sincosf
fopencookie fwrite_unlocked fputs_unlocked malloc_trim malloc_usable_size mallinfo dl_iterate_phdr pthread_barrier_wait
CLOCK_BOOTTIME CLOCK_MONOTONIC_COARSE CLOCK_MONOTONIC_RAW
'
pattern=$(tr -s ' \n' '||' <<<"$words" | sed 's/^|//; s/|$//; s/[.]/[.]/g')
mapfile -t files < <(find include src cli -path src/base/os -prune -o \( -name '*.[ch]' -o -name '*.inc' -o -name '*.def' \) -print | sort)
# Comments may say what they like: what stands in them is blanked, line by line.
bad=$(awk -v pattern="(^|[^A-Za-z0-9_])(($pattern)([^A-Za-z0-9_]|\$)|linux/|/proc/|/sys/)" '
  FNR == 1 { inside = 0 }
  {
    line = $0; code = ""
    while (line != "") {
      if (inside) {
        at = index(line, "*/")
        if (!at) break
        line = substr(line, at + 2); inside = 0
      } else {
        at = index(line, "/*"); slashes = index(line, "//")
        if (slashes && (!at || slashes < at) && substr(line, slashes - 1, 1) != ":") line = substr(line, 1, slashes - 1)
        at = index(line, "/*")
        code = code (at ? substr(line, 1, at - 1) : line)
        if (!at) break
        line = substr(line, at + 2); inside = 1
      }
    }
    if (code ~ pattern) { printf "%s:%d: %s\n", FILENAME, FNR, $0 }
    else if (code ~ /defined\(__linux__\)|__GLIBC__|ifdef __linux__/) { printf "%s:%d: a branch for one system: %s\n", FILENAME, FNR, $0 }
  }' "${files[@]}")
[ -z "$bad" ] || { printf '%s\nonly Linux has these: they belong into src/base/os\n' "$bad" >&2; exit 1; }
echo "portable: ${#files[@]} files"

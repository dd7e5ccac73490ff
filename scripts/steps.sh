# shellcheck shell=bash
# The steps of test.sh: each a function step_NAME that fails loudly. Sourced after setup.sh.
# shellcheck disable=SC2034 # the lists are test.sh's

QUICK=(tools models release)
FULL=(tools_full models_full format lint darwin release consumers token clang musl asan tsan msan fuzz mutate coverage aarch64)

export STRATA_TEST_MODELS=${STRATA_TEST_MODELS:-$HOME/.cache/strata-test-models}
STRATA_SHARED=${STRATA_SHARED:-$PWD/../shared}
FUZZ_SECONDS=${FUZZ_SECONDS:-20}     # for each target
MUTANTS=${MUTANTS:-2000} POISONED=${POISONED:-400} # 20000 and 4000 before a release
COVERAGE_PERCENT=${COVERAGE_PERCENT:-90}
TOKEN_STRINGS=${TOKEN_STRINGS:-50000} # for each vocabulary and way of pre-tokenizing

# Sets STRATA_SHARED for the tests, or says what is left out.
find_shared() {
  if [ -d "$STRATA_SHARED/goldens" ]; then
    STRATA_SHARED=$(cd "$STRATA_SHARED" && pwd)
    export STRATA_SHARED
    return
  fi
  [ "${CI:-}" != true ] || die "reference data not found: $STRATA_SHARED (CI=true: that is a failure)"
  unset STRATA_SHARED
  printf '\n** SKIPPED: reference data not found (../shared): only the committed references are tested **\n'
}

# run_steps STEP... : stops at the first failure; ends with a table of what ran.
run_steps() {
  local step begin report=""
  find_shared
  for step in "$@"; do
    declare -F "step_$step" >/dev/null || die "no step '$step'; ./test.sh steps lists them"
    say "step: $step"
    begin=$SECONDS
    # Not in a condition: a function that is called in one runs on after a failed command.
    "step_$step"
    report+=$(printf '  ok %5d s  %s' $((SECONDS - begin)) "$step")$'\n'
  done
  printf '\n== all steps passed\n%s' "$report"
}

# suite PRESET [ctest options...] : the tests of build/PRESET, and what they skipped.
suite() {
  local preset=$1 failed=0
  shift
  say "tests: $preset"
  # Sanitizers find races and leaks without every thread that the machine has.
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" "$@" || failed=$?
  skipped "build/$preset/Testing/Temporary/LastTest.log"
  return "$failed"
}

# skipped LOG : "2 skipped: bf16 (products), walk_real (all)", from what ctest wrote of a run: of cmocka, of unittest, and what
# ctest itself calls skipped.
skipped() {
  [ -e "$1" ] || return 0
  awk '
  function add(name) { if (!((test, name) in seen)) { seen[test, name] = 1; n++; of[test] = of[test] (of[test] == "" ? "" : ", ") name; if (!(test in known)) { known[test] = 1; order[++k] = test } } }
  /^[0-9]+\/[0-9]+ Testing: / { test = $3; last = "" }
  /^\[  SKIPPED \] / && !/listed below/ { name = $0; sub(/^\[  SKIPPED \] +/, "", name); add(name) }
  /^[A-Za-z_0-9]+ \([A-Za-z_0-9.]+\)/ { last = $1 }
  /\*\* SKIPPED: / { name = $0; sub(/^.*SKIPPED: /, "", name); sub(/ *\*\*.*$/, "", name); add(name) }
  / \.\.\. .*skipped [\x27"]/ || /^skipped [\x27"]/ { add(last == "" ? "?" : last) }
  /^(Test Skipped|Test not run)/ { whole[test] = 1 }
  END {
    if (!n) { print "nothing skipped"; exit }
    printf "%d skipped:", n
    for (i = 1; i <= k; i++) printf "%s %s (%s)", (i > 1 ? "," : ""), order[i], of[order[i]]
    print ""
  }' "$1"
}

step_tools() {
  need build tests
}

step_tools_full() {
  step_tools
  need full
}

want_full() {
  want "clang with its sanitizers and libFuzzer" "clang libclang-rt-14-dev" clang_fuzzes
  want "clang-format" clang-format clang-format --version
  want "musl-gcc with its C library" musl-tools musl_compiles
  want "llvm-symbolizer" llvm llvm-symbolizer --version
  want "gcovr" gcovr gcovr --version
  want "shellcheck" shellcheck shellcheck --version
  want "clang-tidy" clang-tidy clang-tidy --version
  want "cppcheck" cppcheck cppcheck --version
  want "a C++ compiler" g++ c++ --version
  want "make" make make --version
  want "the shells that complete: zsh and fish" "zsh fish" eval 'zsh -c : && fish --no-config -c :'
  want "groff with its man macros" groff eval 'echo .TH x 1 | groff -man -Tutf8 -ww'
  want "gcc for aarch64 with its C library" "gcc-aarch64-linux-gnu libc6-dev-arm64-cross" arm64_compiles
  want "qemu-aarch64-static" qemu-user-static qemu-aarch64-static --version
}

clang_fuzzes() {
  CC=clang compiles 'int main(void) { return 0; }\n' -fsanitize=memory &&
  CC=clang compiles '#include <stddef.h>\n#include <stdint.h>\nint LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) { return p && n > 9; }\n' -fsanitize=fuzzer,address,undefined
}
musl_compiles() { CC=musl-gcc compiles '#include <pthread.h>\n#include <stdio.h>\nint main(void) { return puts("x") < 0; }\n' -static -pthread; }
arm64_compiles() { CC=aarch64-linux-gnu-gcc compiles '#include <stdio.h>\nint main(void) { return puts("x") < 0; }\n'; }

step_models() {
  model "$STRATA_TEST_MODELS" all-minilm-l6-v2 q8_0
  model "$STRATA_TEST_MODELS" all-minilm-l6-v2 f32
  drop_sources "$STRATA_TEST_MODELS"
}

step_models_full() {
  step_models
  model "$STRATA_TEST_MODELS" embeddinggemma-300m q8_0
  drop_sources "$STRATA_TEST_MODELS"
  # Decoders whose vocabularies the token tests read; the reference folder knows where they come from.
  if [ -x "${STRATA_SHARED:-}/models/get" ]; then
    "$STRATA_SHARED/models/get" gemma-3-270m-q4_k_m smollm2-135m-instruct-q4_1
  fi
}

step_format() {
  local sources
  mapfile -t sources < <(find include src cli tests examples \( -name '*.[ch]' -o -name '*.inc' \) -not -name 'unicode_tables.*' -not -path '*/data/*')
  clang-format --dry-run -Werror "${sources[@]}"
  shellcheck -x quickstart.sh test.sh .ci/run scripts/*.sh tests/*.sh tests/install/*.sh
  echo "format: ${#sources[@]} C files and all shell scripts are clean"
}

# clang-tidy (.clang-tidy says what is off, and why) and cppcheck (scripts/cppcheck.txt) over the library and the program,
# as the clang build compiles them, and over the kernels of aarch64 as its clang would. One finding fails.
step_lint() {
  local files odd=()
  # Only what the compiler is told: nothing is built. One file a process: the va_list check of 14 mixes up several.
  cmake --preset release -B build/lint -DCMAKE_C_COMPILER=clang -DSTRATA_TESTS=OFF -DSTRATA_EXAMPLES=OFF >/dev/null
  mapfile -t files < <(find src cli -name '*.c' -not -path src/token/unicode_tables.c)
  say "clang-tidy: ${#files[@]} files"
  printf '%s\n' "${files[@]}" | shuf --random-source=.clang-tidy |
    xargs -P "$(nproc)" -n 1 clang-tidy --quiet -p build/lint 2>build/lint.log || die "clang-tidy: see above, or $(tail -n 3 build/lint.log)"
  mapfile -t odd < <(grep -lE '__aarch64__|__ARM_NEON' -r src --include='*.c')
  say "clang-tidy for aarch64: ${#odd[@]} files" # pointers that only wider vectors look at are dead stores there
  printf '%s\n' "${odd[@]}" | xargs -P "$(nproc)" -n 1 clang-tidy --quiet --extra-arg=--target=aarch64-linux-gnu --checks=-clang-analyzer-deadcode.DeadStores \
    -p build/lint 2>build/lint.log || die "clang-tidy for aarch64: see above, or $(tail -n 3 build/lint.log)"
  say "cppcheck"
  mkdir -p build/cppcheck
  # -D: 2.10 does not know C11's _Noreturn, nor what a compiler says of itself.
  cppcheck --quiet --project=build/lint/compile_commands.json --enable=warning,style,performance,portability \
    --suppressions-list=scripts/cppcheck.txt --inline-suppr \
    '-D_Noreturn=__attribute__((noreturn))' -D__linux__ -D__x86_64__ -D__BYTE_ORDER__=1 -D__ORDER_LITTLE_ENDIAN__=1 \
    --cppcheck-build-dir=build/cppcheck -j "$(nproc)" \
    --template='{file}:{line}: {severity}: {message} [{id}]' --error-exitcode=1
  python3 -m compileall -q tools tests >/dev/null || die "python3 -m compileall tools tests"
}

step_release() {
  build release -DSTRATA_WERROR=ON
  suite release
}

# The library in strangers' projects by every way there is, also those that a quick test leaves out: CMake's default
# generator, which wants make, and FetchContent of an archive.
step_consumers() {
  build release -DSTRATA_WERROR=ON
  env -u CMAKE_GENERATOR tests/install/install.sh build/release "$(compiler)"
  tests/install/subproject.sh "$PWD" "$(compiler)" add_subdirectory build
  CMAKE_GENERATOR="Unix Makefiles" tests/install/subproject.sh "$PWD" "$(compiler)" fetch build
}

# Random strings through our tokenizers and HuggingFace's and sentencepiece's: ids and decoded texts, equal in all.
step_token() {
  need_venv token tests/token/requirements.txt
  build release -DSTRATA_WERROR=ON
  say "tokens against HuggingFace and sentencepiece: $TOKEN_STRINGS strings for each vocabulary (TOKEN_STRINGS=N: more)"
  .venv/token/bin/python -B tools/gen_rank_pairs.py --check
  CI=true .venv/token/bin/python -B tests/token/diff_hf.py --strings "$TOKEN_STRINGS"
}

step_clang() {
  say "building: clang"
  cmake --preset release -B build/clang -DCMAKE_C_COMPILER=clang -DSTRATA_WERROR=ON >/dev/null
  cmake --build build/clang
  suite clang -L 'unit|cli|house'
}

step_asan() {
  build asan -DSTRATA_WERROR=ON
  suite asan
}

# Tests with threads: the label is everybody's who does not prove to start none, see tests/CMakeLists.txt, which also says
# what is left out and why.
step_tsan() {
  build tsan -DSTRATA_WERROR=ON
  suite tsan -L threads -LE not_tsan
}

# Uninitialised memory: what reads files and texts, with every input that fuzzing has found, and each kind of model, mutants
# of it too. It needs clang's view of all code, so cmocka is our own, and of kernels there are the generic ones.
step_msan() {
  build msan -DSTRATA_WERROR=ON
  suite msan -L msan
}

# Another C library, statically linked: the program's contract, what strata does with threads, files, memory and stacks there,
# and that the 128 KiB which musl gives a thread are enough for every call.
step_musl() {
  build musl -DSTRATA_WERROR=ON
  suite musl -L 'cli|musl'
}

# What macOS would compile, as far as that can be known here.
step_darwin() {
  tests/portable.sh --darwin
}

step_fuzz() {
  local target name
  build fuzz
  for target in build/fuzz/fuzz_*; do
    [ -x "$target" ] || continue
    name=${target##*/fuzz_}
    say "fuzzing: $name, $FUZZ_SECONDS s"
    mkdir -p "build/fuzz/corpus/$name"
    "$target" -max_total_time="$FUZZ_SECONDS" -timeout=20 -rss_limit_mb=4096 -print_final_stats=0 -verbosity=0 \
      -artifact_prefix="build/fuzz/$name-" "build/fuzz/corpus/$name" "tests/fuzz/corpus/$name"
  done
}

# Mutants of every tiny model through every call, and poisoned weights, under the sanitizers of the fuzz build.
step_mutate() {
  build fuzz
  say "mutants: $MUTANTS, poisoned: $POISONED (MUTANTS=N, POISONED=N, MUTATE_SEED=N: others)"
  build/fuzz/mutate --mutants "$MUTANTS" --poisoned "$POISONED" --seed "${MUTATE_SEED:-1}" --jobs "$(nproc)"
}

step_coverage() {
  local folder
  build cov
  find build/cov -name '*.gcda' -delete
  # fork() writes the counters out while other threads count: branches of that moment may come out negative.
  suite cov -L 'unit|cli|fuzz|golden' -E '^fork$'
  gcovr --gcov-ignore-parse-errors --root . --filter src/ --object-directory build/cov --json build/cov/coverage.json build/cov >/dev/null
  for folder in src/*/ src/backend/*/; do
    gcovr --add-tracefile build/cov/coverage.json --root . --filter "${folder}[^/]*\$" |
      awk -v f="$folder" '/^TOTAL/ { printf "  %-20s %6d lines %6s\n", f, $2, $4 }'
  done
  gcovr --add-tracefile build/cov/coverage.json --root . --fail-under-line "$COVERAGE_PERCENT" | awk '/^TOTAL/ { print "  all of src/: " $4 }'
}

# cmocka for aarch64, unpacked where cmake/aarch64.cmake looks for it: Debian's package beside that of this machine.
need_arm64_cmocka() {
  local root=build/aarch64-root work options
  [ ! -e "$root/usr/include/cmocka.h" ] || return 0
  command -v apt-get >/dev/null || die "cmocka for aarch64: unpack Debian's libcmocka-dev and libcmocka0 (arm64) into $root"
  say "fetching cmocka for aarch64"
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  : >"$work/status"
  # Indices and downloads in a folder of their own: the system's list of architectures stays as it is.
  options=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$work" -o "Dir::State::status=$work/status"
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=)
  try apt-get "${options[@]}" update || die "apt-get update for arm64 failed"
  (cd "$work" && try apt-get "${options[@]}" download libcmocka-dev libcmocka0) || die "downloading cmocka for arm64 failed"
  dpkg-deb -x "$work"/libcmocka0_*.deb "$root"
  dpkg-deb -x "$work"/libcmocka-dev_*.deb "$root" # last: it brings what is asked for above
  rm -r "$work"
}

# aarch64 by emulation: tests, kernels from clang too, and the same texts to the same bits. Left out is what runs for
# minutes there or has a limit in seconds; it knows of no instruction set, or, as api_bits, follows from the kernels' bits.
step_aarch64() {
  local texts=tests/data/texts.txt type cpu program
  need_arm64_cmocka
  build aarch64 -DSTRATA_WERROR=ON
  # qemu-user makes no process with the raw system call of base/os/trial.c, wipes no page in children (base/os/fork.c) and says nothing of
  # its threads' stacks; the others are slow under emulation.
  suite aarch64 -L 'unit|fuzz|house' -E '^(trial|fork|threads|walk|walk_real|fp|api_bits|type_bits|cache|growth|api_alloc|template|token_golden|token_hashes|sampler|schema|model_mutate|mutate)$'
  say "building: aarch64 with clang"
  cmake --preset aarch64 -B build/aarch64-clang -DCMAKE_C_COMPILER=clang -DSTRATA_WERROR=ON >/dev/null
  cmake --build build/aarch64-clang
  ctest --test-dir build/aarch64-clang --no-tests=error --output-on-failure -j "$(nproc)" -R '^(kernels|math|spills)$'
  build release -DSTRATA_WERROR=ON
  for type in q8_0 f32; do
    say "x86 against aarch64: all-MiniLM-L6-v2 $type"
    model "$STRATA_TEST_MODELS" all-minilm-l6-v2 "$type"
    build/release/strata embed -m "$MODEL" --lines "$texts" --format f32 -o build/x86.f32
    # Three CPUs, and the level that each is to get.
    for cpu in max:i8mm neoverse-n1:dotprod cortex-a72:neon; do
      program=(qemu-aarch64-static -cpu "${cpu%:*}" -L /usr/aarch64-linux-gnu build/aarch64/strata)
      "${program[@]}" info "$MODEL" | grep -x "kernels *${cpu#*:}"
      "${program[@]}" embed -m "$MODEL" --lines "$texts" --format f32 -o build/aarch64.f32
      cmp build/x86.f32 build/aarch64.f32
      echo "same bits on ${cpu%:*}: $(wc -l <"$texts") texts"
    done
  done
  drop_sources "$STRATA_TEST_MODELS"
}

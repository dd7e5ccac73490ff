#!/usr/bin/env bash
# Tests strata.
#   ./test.sh         a few minutes: release build, unit tests, the program's contract, all-MiniLM-L6-v2
#   ./test.sh full    everything: gcc and clang with warnings as errors, sanitizers, fuzzing, coverage, musl, what macOS
#                     would compile, aarch64 under emulation, EmbeddingGemma, tokens against HuggingFace, formatting
#                     (up to an hour on two cores; downloads 1.3 GB once)
#   ./test.sh full STEP...   only these steps of it; ./test.sh steps lists them
# Reference data outside the project is looked for in ../shared (or STRATA_SHARED), models in STRATA_TEST_MODELS
# (~/.cache/strata-test-models). What is missing is skipped, and each suite ends with a line that names what was skipped.
# With CI=true missing data or models are a failure instead, at once where ../shared is not there at all; .ci/run sets it
# where ../shared is. What the CPU has not is skipped with CI=true too.
set -euo pipefail
cd "$(dirname "$0")"
. scripts/setup.sh
. scripts/steps.sh

case ${1:-quick} in
  quick) run_steps "${QUICK[@]}" ;;
  full)
    shift
    [ $# -gt 0 ] || set -- "${FULL[@]}"
    run_steps "$@"
    ;;
  steps) printf '%s\n' "${FULL[@]}" ;;
  *)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

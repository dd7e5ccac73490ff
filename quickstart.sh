#!/usr/bin/env bash
# From nothing to vectors: installs a compiler, CMake and Ninja if they are missing, builds strata, gets a small embedding
# model (all-MiniLM-L6-v2, 83 MB to download once) and compares a few sentences with it.
set -euo pipefail
cd "$(dirname "$0")"
. scripts/setup.sh

need build
build release
model models all-minilm-l6-v2 q8_0
drop_sources models

strata=build/release/strata
say "$strata embed -m $MODEL --format jsonl \"A cat sits on the mat\" | cut -c 1-100"
"$strata" embed -m "$MODEL" --format jsonl "A cat sits on the mat" | cut -c 1-100

say "$strata embed -m $MODEL --similarity ..."
"$strata" embed -m "$MODEL" --similarity \
  "A cat sits on the mat" \
  "A kitten is lying on a rug" \
  "The bank raised its interest rates" \
  "Central banks fight inflation"

cat <<END

Done. The closer to 1, the more alike two texts are. Next:
  $strata info $MODEL
  $strata embed --help
  ./test.sh
END

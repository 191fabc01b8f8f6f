#!/usr/bin/env bash
# Runs the cells. How it exits is told, and judged later: what was measured is worth a report in any case.
set -euo pipefail

# Lists are words: labels and classes have no spaces.
read -ra browsers <<<"$WM_BROWSERS"
read -ra models <<<"$WM_MODELS"
read -ra further <<<"$WM_ARGUMENTS"
command=(webmatrix run --matrix "$WM_MATRIX" --out "$WM_OUT" --browsers "${browsers[@]}")
if ((${#models[@]})); then command+=(--models "${models[@]}"); fi
if [[ -n "$WM_SHARD" ]]; then command+=(--shard "$WM_SHARD"); fi
if ((${#further[@]})); then command+=("${further[@]}"); fi

code=0
"${command[@]}" || code=$?
echo "exit-code=$code" >>"$GITHUB_OUTPUT"

#!/usr/bin/env bash
# Puts the parts of a night together with the nights before, and makes the pages that are published.
set -euo pipefail

shopt -s nullglob
parts=(parts/*/)
if ((${#parts[@]} == 0)); then
    echo "no part of the run is there" >&2
    exit 3
fi
# That cells failed is told by the report and judged by the gate.
code=0
webmatrix merge "${parts[@]}" --out history || code=$?
if ((code != 0 && code != 1 && code != 3 && code != 69)); then exit "$code"; fi

mkdir -p site
report=(webmatrix report --db history/webmatrix.duckdb)
"${report[@]}" --format html --out site/index.html
"${report[@]}" --format badge --out site/badge.json
"${report[@]}" --format can-i-run --out site/can-i-run.json
"${report[@]}" --format junit --out site/junit.xml
"${report[@]}" --format summary >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"

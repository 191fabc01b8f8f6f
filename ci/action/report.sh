#!/usr/bin/env bash
# Writes the reports that people and other tools read, beside the database.
set -euo pipefail

if [[ ! -f "$WM_OUT/webmatrix.duckdb" ]]; then
    echo "nothing was recorded" >&2
    exit 0
fi
report=(webmatrix report --db "$WM_OUT/webmatrix.duckdb")
for format in html json junit can-i-run; do
    "${report[@]}" --format "$format" --out "$WM_OUT/"
done
"${report[@]}" --format summary >>"$GITHUB_STEP_SUMMARY"

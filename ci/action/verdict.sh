#!/usr/bin/env bash
# Fails as the run did, and where it is worse than what it is held against.
set -euo pipefail

if [[ -n "$WM_BASELINE" ]]; then
    # Where the browsers that measured are not, nothing can be run again.
    gate=(webmatrix gate --out "$WM_OUT" --baseline "$WM_BASELINE")
    if [[ -n "${WM_NO_CONFIRM:-}" ]]; then gate+=(--no-confirm); fi
    "${gate[@]}"
fi
exit "$WM_EXIT_CODE"

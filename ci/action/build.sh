#!/usr/bin/env bash
# Builds webmatrix, unless one is on the path already, and puts it there.
set -euo pipefail

if command -v webmatrix >/dev/null; then
    echo "webmatrix is $(command -v webmatrix)"
    exit 0
fi
cd "$(dirname "$0")/../.."
# Browsers and drivers, then the binary, whose path is the last line.
cargo xtask setup
binary="$(cargo xtask build | tail -n 1)"
dirname "$binary" >>"$GITHUB_PATH"

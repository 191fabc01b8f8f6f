#!/bin/sh
# Browsers and drivers for macOS, called by `cargo xtask setup`. It skips what is there, and can be run by hand.
# Not run on the machine this project was written on: the first run on a Mac may need a correction here.
set -eu

say() { echo "setup: $*"; }

if ! command -v brew >/dev/null; then
    say "Homebrew is missing: install it from its own site, then run this again" >&2
    exit 1
fi

# An application that came another way (a download, a company's installer) counts as there.
app() { # CASK APPLICATION
    if [ -d "/Applications/$2.app" ] || [ -d "$HOME/Applications/$2.app" ]; then return; fi
    say "$2"
    brew install --cask "$1"
}
app google-chrome "Google Chrome"
app microsoft-edge "Microsoft Edge"
app firefox "Firefox"

# Chrome's and Edge's drivers must match their browsers, which update themselves: discovery says when they do not.
command -v chromedriver >/dev/null || { say "chromedriver"; brew install --cask chromedriver; }
command -v geckodriver >/dev/null || { say "geckodriver"; brew install geckodriver; }
command -v node >/dev/null || { say "Node, whose npm fetches libduckdb and wasm-opt"; brew install node; }

# Safari carries its driver and refuses it until somebody allowed it, once, with a password.
if [ -t 0 ] || [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then
    say "allowing Safari to be driven (safaridriver --enable)"
    sudo safaridriver --enable
else
    say "Safari must be allowed to be driven: type  sudo safaridriver --enable"
fi

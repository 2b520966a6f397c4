#!/usr/bin/env bash
# Sends from the pages of other origins, in a browser, what a server takes from them and what it refuses (tests/browser/).
#
#     tests/browser.sh target/release/hourglass
#
# Prints a line for each check: what the page did, what it saw, what the server had. Exit code 1 if any differs.
# Needs npm and Chromium, and is left out, loudly, without them.
set -euo pipefail
binary=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
. "$here/npm.sh"
if [ -z "$chromium" ]; then
    left_out "NO PAGE OF ANOTHER ORIGIN WAS TRIED: Chromium is not installed"
    exit 0
fi
if ! install_packages "$playwright"; then
    left_out "NO PAGE OF ANOTHER ORIGIN WAS TRIED: playwright-core could not be installed"
    exit 0
fi
# The script asks the servers for their numbers over TLS, too.
export NODE_EXTRA_CA_CERTS="$here/tls/one.pem" NODE_PATH="$tools/node_modules"
node "$here/browser/main.js" "$binary" "$chromium" </dev/null

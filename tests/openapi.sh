#!/usr/bin/env bash
# Lints the OpenAPI document of a server with the recommended rules of Redocly, and opens the page that shows it in a browser.
#
#     tests/openapi.sh target/release/hourglass
#
# Needs npm; the page needs Chromium, too, and is left out, loudly, without it.
set -euo pipefail
binary=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
. "$here/npm.sh"
if ! install_packages @redocly/cli@2.77.0 "$playwright"; then
    left_out "THE OPENAPI DOCUMENT WAS NOT LINTED: its linter could not be installed"
    exit 0
fi

work=$(mktemp -d)
"$binary" serve --data-dir "$work/store" --kinds signup --dimensions page,referrer --listen 127.0.0.1:0 --log error >"$work/out" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do grep -q :// "$work/out" && break; sleep 0.1; done
url=$(grep -o 'http://[0-9.:]*' "$work/out" | head -1)

curl --fail --silent --show-error --output "$work/openapi.json" "$url/openapi.json"
"$tools/node_modules/.bin/redocly" lint --extends recommended --max-problems 100 --format stylish "$work/openapi.json" </dev/null

if [ -n "$chromium" ]; then
    NODE_PATH="$tools/node_modules" node "$here/docs_page.js" "$url" "$chromium" </dev/null
else
    left_out "THE PAGE /docs WAS NOT OPENED: Chromium is not installed"
fi

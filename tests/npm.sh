# What the checks by Node share, to be sourced: packages, in a folder that outlives the checkout, and Chromium.
tools="${XDG_CACHE_HOME:-$HOME/.cache}/hourglass-npm"
playwright=playwright-core@1.65.1
chromium=$(command -v chromium || command -v chromium-browser || true)

# Installs packages into $tools.
install_packages() {
    mkdir -p "$tools"
    [ -f "$tools/package.json" ] || echo '{"private":true}' >"$tools/package.json"
    npm install --prefix "$tools" --silent --no-audit --no-fund "$@" </dev/null
}

# Says loudly what was left out, and why.
left_out() {
    echo "########## $1 ##########" >&2
}

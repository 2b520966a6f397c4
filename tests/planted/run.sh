#!/usr/bin/env bash
# Plants bugs in a copy of the source and tells after how many seeds the simulated disk has caught each. By hand; some minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/hourglass-target}"
most=${1:-20000}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git archive HEAD | tar -x -C "$copy"
patch --quiet --strip=1 --directory="$copy" < tests/planted/bugs.patch
cd "$copy"
suite=$(cargo test --release --locked --test suite --no-run 2>&1 | tee /dev/stderr | sed -n 's/.*Executable.*(\(.*\))/\1/p')
# What is not there is caught never: the harness must not cry wolf.
grep -rhoP 'crate::planted\("\K[^"]+' src | sort | { cat; echo "none"; } | while read -r bug; do
    if said=$(PLANTED_BUG="$bug" HOURGLASS_SIM_SEEDS=$most RUST_BACKTRACE=0 "$suite" no_power_cut --nocapture 2>&1); then
        echo "| $bug | not in $most seeds | |"
    else
        seed=$(grep -oPm1 'HOURGLASS_SIM_SEED=\K\d+' <<< "$said")
        how=$(grep -A1 -m1 panicked <<< "$said" | tail -1 | sed -E 's/[:0-9[].*//')
        echo "| $bug | $((seed + 1)) | $how |"
    fi
done

#!/usr/bin/env bash
# Makes a store with a binary, and the JSON that says what is in it: tests/stores/make.sh BINARY NAME [PORT]
# With HOURGLASS_KINDS=signup HOURGLASS_DIMENSIONS=page in the environment, some events have a page, and some are signups.
set -euo pipefail
binary=$(realpath "$1") name=$2 port=${3:-18999}
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'kill -9 "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
# Small segments: they are preallocated.
HOURGLASS_WAL_SEGMENT_BYTES=16KiB "$binary" serve --listen "127.0.0.1:$port" --data-dir "$work/store" > /dev/null &
server=$!
url=http://127.0.0.1:$port
until curl -sf "$url/readyz" > /dev/null; do sleep 0.1; done
hours=(10032342000 1577836800000 1577840400000 253402297200000)
keys=()
rows=0 unflushed=0
page() { # number
    if [ -n "${HOURGLASS_DIMENSIONS:-}" ] && [ $(($1 % 3)) -gt 0 ]; then echo "&page=/page$(($1 % 5))"; fi
}
post() { # target, key
    curl -sf -X POST "$url$1&id=$2" && keys+=("$2 $1") && rows=$((rows + 1))
}
batch() { # format, key
    curl -sf "$url/events" -H "content-type: $1" -H "idempotency-key: $2" --data-binary @- > /dev/null
}
# Past the fiftieth commit there is a checkpoint, and commits after it.
for n in $(seq 52); do
    hour=${hours[$((n % 4))]}
    post "/analytics?timestamp=$((hour + n * 1000))&user=user%20$((n % 7))&event=click$(page "$n")" "flushed-$n"
    curl -sf -X POST "$url/admin/flush"
    # A binary that merges files and erases users does both.
    if [ "$n" = 40 ] && curl -sf -X POST "$url/admin/compact" > /dev/null; then
        curl -sf -X POST "$url/analytics?timestamp=$hour&user=gone&event=click"
        curl -sf -X POST "$url/admin/forget?user=gone" > /dev/null
    fi
done
printf 'timestamp,user,event\n%s,Zoë,impression\n%s,"a,b",click\n' "${hours[1]}" "${hours[2]}" | batch text/csv body-1
rows=$((rows + 2))
curl -sf -X POST "$url/admin/flush"
# What follows is in the log alone, in several frames.
for n in $(seq 5); do
    hour=${hours[$((n % 4))]}
    post "/analytics?timestamp=$((hour + n))&user=late%20$n&event=impression$(page "$n")" "logged-$n"
    curl -sf -X POST "$url/analytics?timestamp=$hour&user=none&event=click"
    rows=$((rows + 1)) unflushed=$((unflushed + 2))
done
if [ -n "${HOURGLASS_KINDS:-}" ]; then
    curl -sf -X POST "$url/analytics?timestamp=${hours[0]}&user=ana&event=signup&page=/welcome"
    rows=$((rows + 1)) unflushed=$((unflushed + 1))
    sql="SELECT event, page, count(*) AS n FROM events GROUP BY 1, 2 ORDER BY 1, 2"
    answer=$(curl -sf "$url/sql" -H 'accept: text/csv' --data "$sql" | sed ':a;N;$!ba;s/\n/\\n/g')
fi
{
    printf '{\n "made_by": "%s",\n "rows": %d,\n "unflushed": %d,\n "flushed_keys": 53,\n "hours": [\n' "$("$binary" --version)" "$rows" "$unflushed"
    for hour in "${hours[@]}"; do
        numbers=$(curl -sf "$url/analytics?timestamp=$hour" | sed ':a;N;$!ba;s/\n/\\n/g')
        printf '  [%d, "%s\\n"]%s\n' "$hour" "$numbers" "$([ "$hour" = "${hours[-1]}" ] || echo ,)"
    done
    printf ' ],\n "keys": [\n'
    for i in "${!keys[@]}"; do
        printf '  ["%s", "%s"]%s\n' "${keys[$i]%% *}" "${keys[$i]#* }" "$([ "$i" = $((${#keys[@]} - 1)) ] || echo ,)"
    done
    printf ' ]'
    if [ -n "${answer:-}" ]; then printf ',\n "answers": [\n  ["%s", "%s\\n"]\n ]' "$sql" "$answer"; fi
    printf '\n}\n'
} > "$name.json"
kill -9 "$server"
wait "$server" 2>/dev/null || true
rm -f "$work/store/lock"
tar -C "$work" --owner=0 --group=0 --sort=name -czf "$name.tar.gz" store
ls -l "$name.tar.gz"

#!/usr/bin/env bash
# Give every process of the compose file a container of the image and the settings as they are now, one after the other:
# a new one is started beside an old one, and when it is healthy the old one ends. Nothing stops meanwhile. If a new one does
# not become healthy, the script ends and the old ones continue. It may be run again at any time.
#   deploy/upgrade.sh [SERVICE...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compose=(docker compose --profile pipeline)

leads() { # CONTAINER: whether it is the relay that publishes
    docker exec "$1" python -c "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9464/metrics').read().decode())" |
        grep -q '^holonstream_relay_leading 1'
}

in_order() { # SERVICE: its containers, the leader of the relays last, so that publishing changes hands once
    local container leader=""
    for container in $("${compose[@]}" ps -q "$1"); do
        if [ "$1" = relay ] && leads "$container"; then leader=$container; else echo "$container"; fi
    done
    echo "$leader"
}

replace() { # SERVICE
    local old number
    number=$("${compose[@]}" ps -q "$1" | wc -l)
    for old in $(in_order "$1"); do
        "${compose[@]}" up -d --no-deps --no-build --no-recreate --wait --scale "$1=$((number + 1))" "$1"
        docker stop "$old" >/dev/null
        docker rm "$old" >/dev/null
    done
}

services=("$@")
[ ${#services[@]} -gt 0 ] || services=(graph-worker cache-worker exporter relay)
for service in "${services[@]}"; do
    replace "$service"
done

#!/usr/bin/env bash
# What `make compose-test` needs besides an engine: free ports, and images. Where none can be pulled, stand-ins for those that
# docker-compose.yml and the Dockerfile name are built from debootstrap, Debian's packages and the jars of `holonstream
# local up`. They behave as the official ones where the compose file relies on it: users, volumes, entry points, variables.
# An image that is there already is kept: to test with the official ones, pull them before.
# If it cannot be done, the last line says why.
#   tests/compose/prepare.sh [FOLDER OF THE JARS]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/stand_ins
jars=${1:-${HOLONSTREAM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/holonstream}/jars}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "$1" >&2
    exit 1
}

have() { docker image inspect "$1" >/dev/null 2>&1; }

make_base() {
    have holonstream-stand-in/debian && return
    command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
    [ "$(id -u)" = 0 ] || fail "debootstrap needs root: run $0 once as root"
    local mirror
    mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/root" "$mirror" >"$work/debootstrap.log" ||
        { tail -n 20 "$work/debootstrap.log" >&2; fail "debootstrap failed"; }
    # What the machine itself trusts: packages may come through a mirror with a certificate of its own.
    cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"
    tar -C "$work/root" -c . | docker import - holonstream-stand-in/debian >/dev/null
    echo "made holonstream-stand-in/debian"
}

make_image() { # NAME DOCKERFILE [FILES OF THE CONTEXT...]
    local name=$1 file=$2 context
    shift 2
    have "$name" && return
    make_base
    context=$(mktemp -d -p "$work")
    cp -r "$here"/. "$@" "$context" || fail "no jars for $name in $jars: run holonstream local up once"
    docker build -q -t "$name" -f "$here/$file" "$context" >/dev/null || fail "no stand-in could be built for $name"
    echo "made $name"
}

for port in 5432 29092 29093 29094 7474 7687 6379 9090 3000; do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || fail "port $port is taken, which the compose file publishes"
done
docker compose version >/dev/null 2>&1 || fail "the compose plugin of Docker is missing"
docker info >/dev/null 2>&1 || fail "no Docker engine answers"
kafka=("$jars"/kafka-4.*/)
neo4j=("$jars"/neo4j-5.26.*/)
make_image python:3.11-slim-bookworm python.Dockerfile
make_image postgres:15 postgres.Dockerfile
make_image redis:7 redis.Dockerfile
make_image prom/prometheus:v3.5.0 prometheus.Dockerfile
make_image grafana/grafana:12.0.0 grafana.Dockerfile
make_image apache/kafka:4.1.2 kafka.Dockerfile "${kafka[-1]}" "$here/../../../local/holonstream/local/kafka.log4j2.properties"
make_image neo4j:5.26-community neo4j.Dockerfile "${neo4j[-1]}"

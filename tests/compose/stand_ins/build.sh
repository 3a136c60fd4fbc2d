#!/usr/bin/env bash
# Stand-ins for the images that docker-compose.yml and the Dockerfile name, for a machine with a Docker engine that can pull
# none: built from debootstrap, Debian's packages and the jars of `holonstream local up`. They behave as the official ones
# where the compose file relies on it: users, volumes, entry points, variables. An image that is there already is kept.
#   tests/compose/stand_ins/build.sh [FOLDER OF THE JARS]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
jars=${1:-${HOLONSTREAM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/holonstream}/jars}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

have() { docker image inspect "$1" >/dev/null 2>&1; }

if ! have holonstream-stand-in/debian; then
    mirror=$(apt-get indextargets --format '$(SITE)' | head -n 1)
    debootstrap --variant=minbase --include=ca-certificates bookworm "$work/root" "$mirror" >"$work/debootstrap.log" ||
        { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
    # What the machine itself trusts: packages may come through a mirror with a certificate of its own.
    cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"
    tar -C "$work/root" -c . | docker import - holonstream-stand-in/debian >/dev/null
    echo "made holonstream-stand-in/debian"
fi

make_image() { # NAME DOCKERFILE [FILES OF THE CONTEXT...]
    local name=$1 file=$2 context
    shift 2
    have "$name" && return
    context=$(mktemp -d -p "$work")
    cp -r "$here"/. "$@" "$context"
    docker build -q -t "$name" -f "$here/$file" "$context" >/dev/null
    echo "made $name"
}

kafka=("$jars"/kafka-4.*/)
neo4j=("$jars"/neo4j-5.26.*/)
[ -d "${kafka[-1]}" ] && [ -d "${neo4j[-1]}" ] || { echo "no jars in $jars: run holonstream local up once" >&2; exit 1; }
make_image python:3.11-slim-bookworm python.Dockerfile
make_image postgres:15 postgres.Dockerfile
make_image redis:7 redis.Dockerfile
make_image prom/prometheus:v3.5.0 prometheus.Dockerfile
make_image grafana/grafana:12.0.0 grafana.Dockerfile
make_image apache/kafka:4.1.2 kafka.Dockerfile "${kafka[-1]}" "$here/../../../local/holonstream/local/kafka.log4j2.properties"
make_image neo4j:5.26-community neo4j.Dockerfile "${neo4j[-1]}"

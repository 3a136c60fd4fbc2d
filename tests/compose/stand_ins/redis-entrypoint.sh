#!/bin/bash
# As the official image: /data belongs to the user redis, who runs the server, which is not in protected mode.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    chown redis .
    exec gosu redis "$0" "$@"
fi
exec "$@" --protected-mode no

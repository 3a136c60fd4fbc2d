#!/bin/bash
# As the official image: NEO4J_AUTH=neo4j/PASSWORD, NEO4J_a_b__c=d is the setting a.b_c=d, and the user neo4j runs the server.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    chown -R neo4j:neo4j /data
    exec gosu neo4j "$0" "$@"
fi
if ! [[ "$NEO4J_AUTH" =~ ^neo4j/([^/]{8,})$ ]]; then
    echo "Invalid value for NEO4J_AUTH" >&2
    exit 1
fi
password=${BASH_REMATCH[1]}
rm -f /tmp/neo4j-started
{
    echo "server.default_listen_address=0.0.0.0"
    echo "server.bolt.enabled=true"
    env | grep '^NEO4J_' | grep -v '^NEO4J_AUTH=' | while IFS='=' read -r name value; do
        name=${name#NEO4J_}
        name=${name//__/%}
        name=${name//_/.}
        printf '%s=%s\n' "${name//%/_}" "$value"
    done | grep -v '^server.memory.heap'
} >/tmp/neo4j.conf
opens=(--add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED --add-opens=java.base/sun.nio.ch=ALL-UNNAMED)
exec java "-Xmx${NEO4J_server_memory_heap_max__size:-1g}" "${opens[@]}" -cp '/opt/neo4j:/opt/neo4j/libs/*' \
    StandInNeo4j /data /tmp/neo4j.conf "$password"

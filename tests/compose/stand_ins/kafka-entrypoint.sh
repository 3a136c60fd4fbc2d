#!/bin/bash
# As the official image: KAFKA_A_B=c is the setting a.b=c, and an empty store is formatted for one cluster id.
set -euo pipefail
settings=/tmp/server.properties
env | grep '^KAFKA_' | grep -v '^KAFKA_HEAP_OPTS=' | while IFS='=' read -r name value; do
    name=${name#KAFKA_}
    printf '%s=%s\n' "$(tr '[:upper:]_' '[:lower:].' <<<"$name")" "$value"
done >"$settings"
java=(java "${KAFKA_HEAP_OPTS:--Xmx1g}" -Dlog4j2.configurationFile=/opt/kafka/kafka.log4j2.properties -cp '/opt/kafka/libs/*')
"${java[@]}" kafka.tools.StorageTool format --ignore-formatted -t "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" -c "$settings"
exec "${java[@]}" kafka.Kafka "$settings"

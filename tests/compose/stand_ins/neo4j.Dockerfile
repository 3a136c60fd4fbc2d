FROM holonstream-stand-in/debian
RUN groupadd -g 7474 neo4j && useradd -u 7474 -g neo4j neo4j \
    && apt-get -q update && apt-get -q -y install --no-install-recommends openjdk-17-jdk-headless gosu && rm -rf /var/lib/apt/lists/* \
    && mkdir /data /logs && chown neo4j:neo4j /data /logs
COPY neo4j-5.26.* /opt/neo4j/libs/
COPY StandInNeo4j.java /opt/neo4j/
RUN javac -cp '/opt/neo4j/libs/*' -d /opt/neo4j /opt/neo4j/StandInNeo4j.java
COPY neo4j-entrypoint.sh cypher-shell /usr/local/bin/
VOLUME ["/data", "/logs"]
ENTRYPOINT ["neo4j-entrypoint.sh"]

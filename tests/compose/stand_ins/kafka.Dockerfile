FROM holonstream-stand-in/debian
RUN apt-get -q update && apt-get -q -y install --no-install-recommends openjdk-17-jre-headless && rm -rf /var/lib/apt/lists/* \
    && useradd -u 1000 -m appuser && mkdir -p /var/lib/kafka/data /etc/kafka/secrets /mnt/shared/config \
    && chown appuser /var/lib/kafka/data
COPY kafka-4.* /opt/kafka/libs/
COPY kafka.log4j2.properties /opt/kafka/
COPY kafka-entrypoint.sh /
USER appuser
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]
CMD ["/kafka-entrypoint.sh"]

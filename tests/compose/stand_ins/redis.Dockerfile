FROM holonstream-stand-in/debian
RUN apt-get -q update && apt-get -q -y install --no-install-recommends redis-server gosu && rm -rf /var/lib/apt/lists/*
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
WORKDIR /data
VOLUME /data
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]

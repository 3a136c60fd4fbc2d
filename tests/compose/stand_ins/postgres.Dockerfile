FROM holonstream-stand-in/debian
RUN groupadd -g 999 postgres && useradd -u 999 -g postgres -d /var/lib/postgresql postgres \
    && apt-get -q update && apt-get -q -y install --no-install-recommends postgresql-15 gosu && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /var/lib/postgresql/data && chown postgres /var/lib/postgresql/data
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]

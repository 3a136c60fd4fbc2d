FROM holonstream-stand-in/debian
RUN apt-get -q update && apt-get -q -y install --no-install-recommends prometheus wget && rm -rf /var/lib/apt/lists/* \
    && mkdir /prometheus && chown nobody:nogroup /prometheus
USER nobody
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]

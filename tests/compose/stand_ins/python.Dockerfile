FROM holonstream-stand-in/debian
RUN apt-get -q update && apt-get -q -y install --no-install-recommends python3 python3-venv python3-pip \
    && rm -rf /var/lib/apt/lists/* && ln -s python3 /usr/bin/python \
    && printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\nbreak-system-packages = true\n' >/etc/pip.conf

# One image for every process; the command says which: `holonstream relay`, `holonstream worker graph`, ...
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
# Dependencies first: a change of the code does not install them again.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; extras = p['optional-dependencies']; \
print('\n'.join(n for n in [*p['dependencies'], *extras['read'], *extras['worker'], *extras['cli']] if not n.startswith('holonstream')))" > needed.txt \
    && python -m venv --without-pip /opt/holonstream \
    && pip --python /opt/holonstream/bin/python install --no-cache-dir --disable-pip-version-check -c constraints.txt -r needed.txt
COPY README.md LICENSE ./
COPY schemas schemas
COPY producers producers
COPY sinks sinks
COPY streams streams
COPY client client
COPY ops ops
COPY local local
# The bytecode is made here, since nothing can be written where it runs.
RUN pip --python /opt/holonstream/bin/python install --no-cache-dir --disable-pip-version-check -c constraints.txt ".[worker,cli]" \
    && /opt/holonstream/bin/python -m compileall -q /opt/holonstream/lib

FROM python:3.11-slim-bookworm
COPY --from=build /opt/holonstream /opt/holonstream
ENV PATH=/opt/holonstream/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# No file is ever written: run it with a read-only file system, without capabilities (docker-compose.yml, terraform/).
USER 10001:10001
# Whether the process lives; nothing is asked while HOLONSTREAM_METRICS_PORT is not set.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-m", "holonstream.ops.probe", "livez"]
CMD ["holonstream", "--help"]

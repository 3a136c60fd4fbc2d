# One image for every process; the command says which: `holonstream relay`, `holonstream worker graph`, ...
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY schemas schemas
COPY producers producers
COPY sinks sinks
COPY streams streams
COPY holonstream holonstream
COPY local local
RUN python -m venv /opt/holonstream \
    && /opt/holonstream/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/holonstream /opt/holonstream
ENV PATH=/opt/holonstream/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Nothing is written to disk: run it with a read-only root file system.
USER 10001:10001
CMD ["holonstream", "--help"]

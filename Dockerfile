# Handrail with all it needs. docs/deploying.md says what a container of it has to be allowed.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.txt ./
# The very versions that are tested, by their hashes.
RUN python3 -m venv /opt/handrail \
    && /opt/handrail/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r requirements.txt
COPY . .
RUN pip3 wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
    && /opt/handrail/bin/pip install --no-deps --no-index /wheels/*.whl \
    && /opt/handrail/bin/pip uninstall --yes --quiet pip setuptools

FROM ${BASE}
# What agents find in their sandboxes is this image's /usr: what they need there is named here.
ARG SANDBOX_PACKAGES="git"
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap ca-certificates python3 util-linux ${SANDBOX_PACKAGES} \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --user-group --home-dir /data --shell /usr/sbin/nologin handrail \
    && install --directory --owner=handrail --group=handrail --mode=700 /data
COPY --from=build /opt/handrail /opt/handrail
# Loopback is of no use in a container, so people log in: ALLOWED_HOSTS has to be given.
ENV PATH=/opt/handrail/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin DATA_DIR=/data AUTH_MODE=accounts
USER handrail
WORKDIR /data
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["handrail", "healthcheck", "--url", "http://127.0.0.1:3000"]
ENTRYPOINT ["handrail"]
CMD ["serve", "--host", "0.0.0.0"]

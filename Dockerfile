# One image for all of Sluice's roles; the command chooses: python -m router | tablet | controlplane.
#   docker build --target sluice -t sluice .
# The target `etcd` is Debian's etcd, the release that Sluice is tested with.

FROM debian:bookworm-slim AS etcd
RUN apt-get update \
 && apt-get install -y --no-install-recommends etcd-server etcd-client \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir -p /var/lib/etcd-data && chown etcd /var/lib/etcd-data
ENV ETCDCTL_API=3
USER etcd
EXPOSE 2379
ENTRYPOINT ["etcd"]

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY wire wire
COPY core core
COPY controlplane controlplane
COPY router router
COPY tablet tablet
COPY cli cli
RUN python -m venv /opt/sluice && /opt/sluice/bin/pip install --no-cache-dir .

FROM python:3.11-slim-bookworm AS sluice
RUN useradd --system --create-home --home-dir /var/lib/sluice sluice
COPY --from=build /opt/sluice /opt/sluice
ENV PATH=/opt/sluice/bin:$PATH PYTHONUNBUFFERED=1
USER sluice
WORKDIR /var/lib/sluice
EXPOSE 15306 15380 16001
CMD ["clusterctl", "--help"]

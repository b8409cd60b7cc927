# An image that runs Siesta itself against the host's Docker socket.
#
#   docker build -t siesta .                                    compiles in a Rust image
#   docker build -t siesta --build-arg BINARY=prebuilt .        takes target/release/siesta as it is
#
# BASE may be any Debian-like image whose C library is not older than the one Siesta was compiled
# with; where no registry answers: --build-arg BASE=$(script/stack --base). The two ways need
# BuildKit, which skips the stage that is not asked for. README.md tells how to run it.

ARG BASE=debian:bookworm-slim
ARG RUST=rust:1-bookworm
ARG BINARY=compiled

FROM ${RUST} AS compiled
WORKDIR /src
COPY . .
RUN cargo build --release --locked && cp target/release/siesta /siesta

FROM ${BASE} AS prebuilt
COPY target/release/siesta /siesta

FROM ${BINARY} AS binary

FROM ${BASE}
RUN [ -e /etc/ssl/certs/ca-certificates.crt ] || { apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*; }
COPY --from=binary /siesta /usr/local/bin/siesta
# Whatever the base says: a file that is not there leaves no authority to trust.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# Freed memory goes back to the host at once.
ENV MIMALLOC_PURGE_DELAY=0
STOPSIGNAL SIGTERM
ENTRYPOINT ["siesta"]
CMD ["serve"]

# The image of the Astro project: the Astro runtime with the `headrace` wheel and command. `astro dev start` builds it; by
# hand: docker build --tag headrace/airflow .
# The runtime's ONBUILD steps copy packages.txt, requirements.txt and the project and install what these two list, once for
# every stage that is built from it. So exactly one is.
ARG BASE_IMAGE=astrocrpublic.azurecr.io/runtime:3.3-8
ARG BUILDER_IMAGE=docker.io/library/debian:bookworm-slim

# The astro command reads which Airflow `--standalone` installs from the first FROM, where it expands no arguments. No stage
# uses this one, so builders skip it. Its tag is the one of BASE_IMAGE.
FROM astrocrpublic.azurecr.io/runtime:3.3-8 AS version

FROM ${BUILDER_IMAGE} AS builder
ARG RUST_VERSION=1.95.0
ARG RUSTUP_VERSION=1.29.0
ARG MATURIN_VERSION=1.16.0
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl gcc g++ libc6-dev make perl python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
ENV CARGO_HOME=/opt/cargo RUSTUP_HOME=/opt/rustup PATH=/opt/cargo/bin:/opt/maturin/bin:$PATH \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
RUN case $(uname -m) in \
      x86_64) sum=4acc9acc76d5079515b46346a485974457b5a79893cfb01112423c89aeb5aa10 ;; \
      aarch64) sum=9732d6c5e2a098d3521fca8145d826ae0aaa067ef2385ead08e6feac88fa5792 ;; \
      *) echo "no Rust for $(uname -m)" >&2; exit 1 ;; \
    esac \
 && curl --fail --silent --show-error --proto =https --tlsv1.2 --output /tmp/rustup-init \
      "https://static.rust-lang.org/rustup/archive/$RUSTUP_VERSION/$(uname -m)-unknown-linux-gnu/rustup-init" \
 && echo "$sum  /tmp/rustup-init" | sha256sum --check --quiet \
 && chmod +x /tmp/rustup-init \
 && /tmp/rustup-init -y --no-modify-path --profile minimal --default-toolchain "$RUST_VERSION" \
 && rm /tmp/rustup-init \
 && python3 -m venv /opt/maturin \
 && pip install --no-cache-dir --quiet "maturin==$MATURIN_VERSION"
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY workers workers
COPY pylib pylib
# `dev` compiles faster, into slower code.
ARG PROFILE=release
# The caches outlive a build, so that a change in one crate compiles that crate only.
RUN --mount=type=cache,target=/opt/cargo/registry,sharing=locked --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --profile "$PROFILE" --locked --bin headrace \
 && maturin build --profile "$PROFILE" --locked --manifest-path pylib/Cargo.toml --interpreter /usr/bin/python3 --out /build/wheel \
 && install -D --mode=755 "target/$(echo "$PROFILE" | sed 's/^dev$/debug/')/headrace" /build/bin/headrace

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="headrace" \
      org.opencontainers.image.description="Astro runtime with Headrace: batch and stream workers started from Airflow" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/headrace/headrace"
USER root
COPY --from=builder /build/bin/headrace /usr/local/bin/headrace
RUN --mount=type=bind,from=builder,source=/build/wheel,target=/tmp/wheel \
    pip install --no-cache-dir --no-index /tmp/wheel/headrace-*.whl \
 && rm -rf workers pylib Cargo.toml Cargo.lock \
 && headrace --version \
 && python -c 'import headrace'
USER astro

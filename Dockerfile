# Builds the service as one static program and puts it, alone, on a base with certificates and nothing to log in to.
# The base has no versions but digests; who wants the same bytes each time gives RUNTIME_IMAGE one.
ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# Static with the C library of the base, whose allocator keeps up with threads where musl's doesn't. Symbols stay outside.
ENV RUSTFLAGS="-C target-feature=+crt-static" CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_DEBUG=none
# The dependencies first, with an empty program: this layer stays until they change, whatever builds the image.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src \
    && echo '//! Nothing yet.' > src/lib.rs \
    && printf '//! Nothing yet.\nfn main() {}\n' > src/main.rs \
    && cargo build --release --locked --target "$(uname -m)-unknown-linux-gnu"
COPY src src
COPY web web
# Newer than the empty program, whatever times the files came with.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --target "$(uname -m)-unknown-linux-gnu" \
    && cp "target/$(uname -m)-unknown-linux-gnu/release/confab" /confab

FROM ${RUNTIME_IMAGE}
COPY --from=build /confab /usr/local/bin/confab
# In a container, nobody outside of it reaches a port of its loopback.
ENV CONFAB__BIND=0.0.0.0
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/local/bin/confab", "health"]
ENTRYPOINT ["/usr/local/bin/confab"]
CMD ["serve"]
# Last, because they change with every build.
ARG RUNTIME_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="confab" \
      org.opencontainers.image.description="Multi-room realtime chat for Cloud Run and Memorystore" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${RUNTIME_IMAGE}"

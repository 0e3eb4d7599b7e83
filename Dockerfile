# Builds the service and puts it, alone, on a base with a C library and nothing to log in to.
ARG BUILD_IMAGE=docker.io/library/rust:1-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY web web
RUN cargo build --release --locked

FROM ${RUNTIME_IMAGE}
COPY --from=build /src/target/release/confab /usr/local/bin/confab
# In a container, nobody outside of it reaches a port of its loopback.
ENV CONFAB__BIND=0.0.0.0
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/local/bin/confab", "health"]
ENTRYPOINT ["/usr/local/bin/confab"]
CMD ["serve"]

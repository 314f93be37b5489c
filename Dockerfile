# The binary, on a small base. The build needs what a build outside needs: Rust, a C compiler, make and perl.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --locked --release --bin sluicebox && cp target/release/sluicebox /usr/local/bin/

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/sluicebox /usr/local/bin/sluicebox
COPY LICENSE /usr/share/doc/sluicebox/LICENSE
COPY THIRD_PARTY.md /usr/share/doc/sluicebox/THIRD_PARTY.md
COPY sql /sluicebox/sql
# Tables and checkpoints are made below the working directory.
WORKDIR /sluicebox
ENTRYPOINT ["sluicebox"]
CMD ["--help"]

# The managed plugin's root filesystem, as an image. `make plugin` builds the
# same bytes without an image or a registry; both read the one ENV line below,
# and a test compares what they make.
#
#   docker build -t berth-rootfs .
#   docker build --build-arg BUILDER=my/go:1.26 -t berth-rootfs .

ARG BUILDER=golang:1.26
FROM ${BUILDER} AS build

# One line, read by the Makefile too: a static binary without anything of the
# machine that built it.
ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false '-ldflags=-s -w -buildid='"

WORKDIR /src
COPY . .
# Exec form: the builder needs a Go toolchain and nothing else, not even a shell.
RUN ["go", "build", "-o", "/rootfs/berth", "./cmd/berth"]

FROM scratch
COPY --from=build /rootfs/ /
ENTRYPOINT ["/berth", "serve"]

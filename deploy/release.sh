#!/bin/bash
# Builds a release into $BUILD/release (default build/release): for each
# architecture an archive, a .deb and an .rpm, and beside them install.sh and the
# checksums of all. Typed as `make release`.
#
# The same commit makes the same bytes with the same versions of Go, tar and
# gzip, wherever and whenever it is built: nothing of the machine, its clock, the
# path or the user goes in. All times are the commit's, or SOURCE_DATE_EPOCH.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."

readonly NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
readonly ARCHITECTURES='amd64 arm64'
build=${BUILD:-build}
go=${GO:-go}

# Whatever the builder has set must not show.
umask 022
export LC_ALL=C TZ=UTC
export GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT='' GOWORK=off GOFLAGS=''
unset GOOS GOARCH GZIP TAR_OPTIONS

if [ -z "${SOURCE_DATE_EPOCH-}" ]; then
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) || {
		echo 'release: no git checkout: set SOURCE_DATE_EPOCH to the time of the release' >&2
		exit 1
	}
	[ -z "$(git status --porcelain)" ] || echo 'release: the checkout has changes that no commit has; nobody can build this again' >&2
fi
export SOURCE_DATE_EPOCH
VERSION=$(sed -n 's/^const version = "\(.*\)"$/\1/p' cmd/berth/main.go)
export VERSION

# compile OUT builds berth as the Dockerfile says, for GOARCH.
compile() { (eval "export $(sed -n 's/^ENV //p' Dockerfile)" && "$go" build -o "$1" ./cmd/berth); }

# pack ARCH makes the archive and the packages of one architecture.
pack() {
	local name=berth-$VERSION-linux-$1 format dir
	dir=$stage/$name
	export ARCH=$1
	mkdir -p "$dir/bin" "$dir/plugin/rootfs"
	GOARCH=$1 compile "$dir/plugin/rootfs/berth"
	ln "$dir/plugin/rootfs/berth" "$dir/bin/berth" # the same file: once in the archive
	cp config.json "$dir/plugin/"
	cp -R deploy docs "$stage/share" README.md CHANGELOG.md "$dir/"
	mv "$dir/deploy/install.sh" "$dir/"
	rm "$dir/deploy/release.sh" "$dir/deploy/nfpm.yaml"
	chmod -R u=rwX,go=rX "$dir"
	find "$dir" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	tar -C "$stage" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -n -9 >"$out/$name.tar.gz"
	for format in deb rpm; do
		(cd "$dir" && "$stage/nfpm" package --config "$here/nfpm.yaml" --packager "$format" --target "$out") >"$stage/said" ||
			{ cat "$stage/said" >&2; return 1; }
	done
}

# help_texts writes what berth says of itself: manual pages and completions.
help_texts() {
	local share=$1 berth=$stage/berth
	compile "$berth"
	mkdir -p "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
	"$berth" completion bash >"$share/bash-completion/completions/berth"
	"$berth" completion zsh >"$share/zsh/site-functions/_berth"
	"$berth" completion fish >"$share/fish/vendor_completions.d/berth.fish"
	"$berth" man "$share/man/man1"
	gzip -n -9 "$share"/man/man1/*
}

rm -rf "$build/release"
mkdir -p "$build/release"
out=$(cd "$build/release" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
GOBIN=$stage "$go" install "$NFPM"
help_texts "$stage/share"
for arch in $ARCHITECTURES; do pack "$arch"; done
install -m 0755 deploy/install.sh "$out/install.sh"
sums=$(cd "$out" && sha256sum -- *)
echo "$sums" | tee "$out/SHA256SUMS"

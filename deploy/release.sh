#!/bin/bash
# Builds a release into $BUILD/release (default build/release): for each
# architecture an archive, a .deb, an .rpm and the list of what is in the program,
# and beside them install.sh and the checksums of all, signed if BERTH_SIGNING_KEY
# names a key of ssh. Typed as `make release`.
#
# The same commit makes the same bytes with the same versions of Go, tar and
# gzip, wherever and whenever it is built: nothing of the machine, its clock, the
# path or the user goes in. All times are the commit's, or SOURCE_DATE_EPOCH.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."

readonly NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
readonly SIGNED_FOR=berth-release # a signature is good for this alone
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
	bill "$dir/plugin/rootfs/berth" >"$out/$name.cdx.json"
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

# bill PROGRAM writes the modules in a program, as Go wrote them into it, in the form of
# CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/).
bill() {
	"$go" version -m "$1" | awk -v version="$VERSION" -v time="$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" '
		function purl(path, version) { gsub(/[+]/, "%2B", version); return "pkg:golang/" path "@" version }
		function library(path, version, sum) {
			printf ",\n    {\"type\": \"library\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"%s\"", purl(path, version), path, version, purl(path, version)
			if (sum != "") printf ", \"properties\": [{\"name\": \"go.sum\", \"value\": \"%s\"}]", sum
			printf "}"
		}
		NR == 1 { std = $2; sub(/^go/, "", std) }
		$1 == "mod" {
			printf "{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,\n  \"metadata\": {\"timestamp\": \"%s\", ", time
			printf "\"component\": {\"type\": \"application\", \"bom-ref\": \"%s\", \"name\": \"berth\", \"version\": \"%s\", \"purl\": \"%s\"}},\n", purl($2, "v" version), version, purl($2, "v" version)
			printf "  \"components\": [\n    {\"type\": \"library\", \"bom-ref\": \"%s\", \"name\": \"std\", \"version\": \"%s\", \"purl\": \"%s\"}", purl("std", std), std, purl("std", std)
		}
		$1 == "dep" { library($2, $3, $4) }
		$1 == "=>" { print "release: a module is replaced; say here how its list names it" >"/dev/stderr"; exit 1 }
		END { printf "\n  ]\n}\n" }'
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
if [ -n "${BERTH_SIGNING_KEY-}" ]; then
	ssh-keygen -q -Y sign -f "$BERTH_SIGNING_KEY" -n "$SIGNED_FOR" "$out/SHA256SUMS"
fi

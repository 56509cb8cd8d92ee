# berth: what a developer types. Everything longer lives in a script.
#
#   make           the static binary, build/berth
#   make release   archives and packages for amd64 and arm64, build/release
#   make plugin    the managed plugin on the engine that $(DOCKER) talks to
#   make demo      the story on this machine's engine, cleaned up afterwards
#   make demo-filer  the same on hosts with a kernel NFS client, with a filer's API
#   make chaos SEEDS=20  looks for what breaks volumes and leases, for long
#   make damage SEEDS=200  damages control files of an export, for long
#   make kills SEEDS=2000  kills plugins in the middle of every verb, for long
#   make test      every test; what a machine cannot run skips and says why

DOCKER  ?= docker
PLUGIN  ?= berth
GO      ?= go
PACKAGES ?= ./...
# The race detector needs a C compiler; the plugin itself never does.
RACE    ?= $(if $(shell command -v gcc),-race)

BUILD   ?= build

# The Dockerfile's ENV line is the one place that says how berth is built.
BUILD_ENV := $(shell sed -n 's/^ENV //p' Dockerfile)

.PHONY: build rootfs plugin demo demo-build test bench lint clean
.DEFAULT_GOAL := build

build:
	env $(BUILD_ENV) $(GO) build -o $(BUILD)/berth ./cmd/berth

# The folder that `docker plugin create` takes: config.json and rootfs/.
rootfs:
	rm -rf $(BUILD)/plugin
	mkdir -p $(BUILD)/plugin/rootfs
	env $(BUILD_ENV) $(GO) build -o $(BUILD)/plugin/rootfs/berth ./cmd/berth
	cp config.json $(BUILD)/plugin/config.json

plugin: rootfs
	$(DOCKER) plugin create $(PLUGIN) $(BUILD)/plugin

# The same commit makes the same bytes: see deploy/release.sh.
.PHONY: release
release:
	@BUILD="$(BUILD)" GO="$(GO)" bash deploy/release.sh

demo: demo-build
	@BUILD="$(BUILD)" DOCKER="$(DOCKER)" PLUGIN="$(PLUGIN)" bash demo/demo.sh

demo-build: build rootfs
	mkdir -p $(BUILD)/demo
	env $(BUILD_ENV) $(GO) build -o $(BUILD)/demo/site ./demo/site

# The integration tests run engines and hosts of their own, after the others, and
# mostly wait; those with kernels of their own come last. The limits are there to
# end what hangs, several times what a slow machine needs. TESTFLAGS is for -v,
# -run and the like.
test:
	$(GO) test $(RACE) -timeout 25m $(TESTFLAGS) $$($(GO) list $(PACKAGES) | grep -v /integration)
	$(MAKE) test-releases
	$(GO) test -p 2 -parallel 6 -timeout 40m $(TESTFLAGS) $$($(GO) list $(PACKAGES) | grep /integration | grep -v /uml)
	$(GO) test -timeout 40m $(TESTFLAGS) $$($(GO) list $(PACKAGES) | grep /integration/uml)

# What talks to a filer, against every release that is named; the tests above are
# of 9.16.1. -count=1: tests in namespaces are other processes, of whose
# environment the cache knows nothing. What is hostile is of no release.
RELEASES ?= 9.11.1 9.12.1 9.14.1 9.17.1 9.19.1
FILER_TESTS = OnAFilerByEachEngine|TheFiler|Hidden|NotAbsent|LostAnswer|Locked|TakenOver|Squashed|TestScripts/(doctor|ontap)|ONTAP|Survey|Status
.PHONY: test-releases
test-releases:
	set -e; for r in $(RELEASES); do echo "ONTAP $$r"; \
	  BERTH_ONTAP_RELEASE=$$r $(GO) test -count=1 -timeout 10m -skip Hostile $(TESTFLAGS) ./ontap ./doctor ./snapshot/netapp ./cmd/ontap-simulator; \
	  BERTH_ONTAP_RELEASE=$$r $(GO) test -count=1 -timeout 10m -run '$(FILER_TESTS)' $(TESTFLAGS) ./snapshot ./plugin ./cmd/berth; \
	done

.PHONY: damage
damage:
	$(GO) test ./integration/damage -run TestDamagedFiles -count=1 -timeout 12h -seeds $(SEEDS) -seed $$(date +%s) $(TESTFLAGS)

bench:
	$(GO) test -run '^$$' -bench . -timeout 20m $(TESTFLAGS) $(PACKAGES)

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'make lint: gofmt -w the files above'; exit 1; }
	for f in deploy/*.sh; do bash -n "$$f" || exit 1; done
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	$(MAKE) gosec

# What gosec finds is mended, or judged in .ci/gosec.
.PHONY: gosec
gosec:
	$(GO) run ./integration/judge

# Known vulnerabilities of what the binary calls; it asks the Go project's database.
.PHONY: vuln
vuln:
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./cmd/berth

clean:
	rm -rf $(BUILD)

# Long chaos: SEEDS stories on real engines and a thousand times as many on a
# simulated network, from the seed SEED on. A failure prints the seed that tells it again.
SEEDS ?= 5
SEED  ?= 1
.PHONY: chaos
chaos:
	$(GO) test -count=1 -timeout 24h -v -run '^TestChaos$$' ./volume -seed $(SEED) -seeds $$(( $(SEEDS) * 1000 ))
	$(GO) test -count=1 -timeout 24h -v -run '^TestChaosOnRealEngines$$' ./integration -seed $(SEED) -seeds $(SEEDS)

# SEEDS processes of the plugin are killed in the middle of what they do.
.PHONY: kills
kills:
	$(GO) test -count=1 -timeout 24h -v -run '^TestKilledAtAnyInstant$$' ./integration/storm -seed $(SEED) -seeds $(SEEDS)

# The part of the tests on hosts with a kernel, an NFS client and an engine of
# their own (User Mode Linux); needs root. lab-full is the same with the limits of production.
.PHONY: lab-test lab-full
lab-test:
	$(GO) test -count=1 -timeout 40m $(TESTFLAGS) ./integration/uml/...

lab-full:
	BERTH_LAB_LIMITS=real $(GO) test -count=1 -timeout 60m $(TESTFLAGS) ./integration/uml/...

# The story of `make demo` on an NFS export with a filer's API, in that lab.
.PHONY: demo-filer
demo-filer:
	@mkdir -p $(BUILD)
	@BERTH_STORY=1 $(GO) test -count=1 -timeout 15m -run '^TestASiteIsBroughtBack$$' -v ./integration/uml > $(BUILD)/demo-filer.log 2>&1 || { tail -40 $(BUILD)/demo-filer.log; exit 1; }
	@sed -n 's/^story: //p' $(BUILD)/demo-filer.log

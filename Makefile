# The two commands a newcomer needs: make demo, make test.

SHELL := /bin/bash
export PATH := $(PATH):/usr/local/go/bin:/usr/local/sbin:/usr/sbin:/sbin
# The same for every go command, so that what one compiled the next finds in the cache.
export GOFLAGS := -trimpath $(GOFLAGS)

programs := $(patsubst cmd/%/.,%,$(wildcard cmd/df*/.))
version  := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
ldflags  := -X damselfly/cmd/internal/boot.version=$(version)

.PHONY: help build deb test unit race e2e soak bench bench-mount bench-smoke lint generate verify demo clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

build: ## the programs, into bin/
	@scripts/deps.sh build
	go build -ldflags '$(ldflags)' -o bin/ $(addprefix ./cmd/,$(programs))

deb: ## a Debian package of everything, into dist/ (VERSION=1.2.3)
	@scripts/deps.sh build
	CGO_ENABLED=0 go build -ldflags '$(ldflags)' -o dist/bin/ $(addprefix ./cmd/,$(programs))
	VERSION='$(VERSION)' scripts/deb dist/bin dist

test: ## everything: build, verify, unit, race, e2e (root; under 15 minutes on 2 cores)
	@scripts/deps.sh test
	$(MAKE) build
	$(MAKE) verify
	$(MAKE) unit
	$(MAKE) race
	$(MAKE) e2e
	$(MAKE) bench-smoke

unit: ## the tests of all packages (lint has vetted them)
	@scripts/deps.sh test
	DAMSELFLY_DEPS=1 go test -vet=off -p 3 ./...

race: ## the short tests of all packages under the race detector
	go test -vet=off -p 3 -race -short ./...

e2e: build ## real processes in network namespaces (root); RACE=1: with the race detector
	@scripts/deps.sh test
	DAMSELFLY_DEPS=1 DAMSELFLY_E2E=1 DAMSELFLY_RACE=$(RACE) DAMSELFLY_BIN=$(if $(RACE),,$(CURDIR)/bin) go test -count=1 -p 1 -timeout $(if $(RACE),60m,12m) ./cmd/internal/e2e ./cmd/internal/e2e/lab ./cmd/internal/e2e/console ./deploy

soak: build ## hours of random faults, long fuzzing, a thousand kills (root; DURATION=1h SEED= ROUND= KILLS=)
	@scripts/deps.sh test
	scripts/soak

bench: build ## ratios on shaped links beside BitTorrent and direct download, an hour (root; BENCH="flash aria2" for parts, BENCHFLAGS="--hosts 8")
	@scripts/deps.sh bench
	bin/dfbench lab $(BENCH) $(BENCHFLAGS) --results docs/benchmarks

bench-mount: build ## the mount beside native reads, GETs, go-fuse and rclone, under 20 minutes (root; BENCH="cold rclone" for parts)
	@scripts/deps.sh bench
	bin/dfbench mount $(BENCH)

bench-smoke: build ## the short forms of both, a minute when idle: shows that the benches work, judges nothing
	@scripts/deps.sh bench
	bin/dfbench lab --smoke
	bin/dfbench mount --smoke

lint: ## gofmt, go vet, staticcheck
	scripts/lint

generate: ## write the Go code of the .proto files
	scripts/generate.sh

verify: lint ## lint, and: generated code and go.mod are what our tools write
	scripts/verify

demo: ## three hosts read one file through mounts (URL=… reads yours; KEEP=1 leaves them running, STOP=1 ends those)
	@scripts/deps.sh demo
	@$(MAKE) --no-print-directory build
	@KEEP='$(KEEP)' URL='$(URL)' STOP='$(STOP)' go run ./cmd/internal/demo -bin bin

clean: ## remove what make made, and what dead labs left
	rm -rf bin dist
	@if [ "$$(id -u)" = 0 ] && command -v ip >/dev/null; then scripts/lab clean; fi

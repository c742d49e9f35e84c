# SPDX-License-Identifier: Apache-2.0
# The one entrance: every target prepares what it needs (make setup), so each works in a fresh clone on a bare Debian 12.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH):/usr/sbin:/sbin
# Saves each of the many short processes the stripping of types.
export NODE_COMPILE_CACHE := $(CURDIR)/build/compile-cache

# Steps depend on what the one before installed.
.NOTPARALLEL:

NODE := node_modules/.bin/node
NAME ?= lab
NODES ?= 2
STATIC := musl-gcc -O2 -static -s -Wall -Wextra -Werror -std=gnu11

.PHONY: help
help: ## this list
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z%-]+):.*## /\1\t/' | expand -t 12
	@echo 'layers of tests: types lint imports files unit and the folders of test/, such as kernel (make test-kernel)'

.PHONY: setup deps
setup: ## install what is missing, find or build Kubernetes for the lab (9 min of CPU the first time)
	@tools/setup.sh
deps:
	@tools/setup.sh --base

.PHONY: build compile images
build: deps compile ## the CNI shim (build/terway), the bundles of each process and the eBPF programs (dist/)
	@$(NODE) tools/bundle.ts
compile: build/pause build/app build/heartbeat
	@$(MAKE) -s -C cni
build/pause build/app build/heartbeat: build/%: deploy/image/%.c
	@mkdir -p build
	$(STATIC) -o $@ $<
images: deps ## OCI archives of Terway and of the lab's helpers; prints where they are
	@$(NODE) deploy/image/build.ts

.PHONY: test
test: setup build ## all layers of tests, or one with make test-<layer>
	@$(NODE) tools/run-tests.ts
test-unit test-kernel test-conformance test-matrix test-cluster: setup build
test-%: deps
	@$(NODE) tools/run-tests.ts $*

.PHONY: fmt
fmt: deps ## format and fix what can be fixed
	@biome check --write .

.PHONY: sim lab-up lab-down demo chaos
sim: deps ## the simulated cloud alone, for anybody's tests
	@$(NODE) sim/main.ts
lab-up: setup ## a Kubernetes cluster on the simulated cloud: NODES=2 NAME=lab
	@$(NODE) lab/cli.ts up --nodes $(NODES) --name $(NAME)
lab-down: deps ## remove it: NAME=lab
	@$(NODE) lab/cli.ts down --name $(NAME)
demo: setup ## a cluster with Terway, traffic and a tour; PODS=40, IP_STACK=dual, DATAPATH=v2, KEEP=1 leaves it running
	@$(NODE) lab/demo/main.ts
chaos: setup ## pods come and go while everything is killed, then all is accounted for; SECONDS=120, SEED=7 replays, NODES=3, IP_STACK=ipv4
	@env SECONDS=$(or $(SECONDS),120) $(NODE) lab/chaos/main.ts

.PHONY: bench
bench: export PACKAGES := bench/packages.txt
bench: setup build ## measure, and update docs/benchmarks.md: BENCH='cni pool', QUICK=1 tries out and publishes nothing
	@$(NODE) bench/main.ts $(BENCH)
.PHONY: bench-datapath
bench-datapath: ## the same for packets' ways alone: regular mode and DataPath V2 against host to host
	@$(MAKE) -s bench BENCH=datapath
.PHONY: bench-sync
bench-sync: ## the same for Services on their way into the maps of a node alone
	@$(MAKE) -s bench BENCH=sync

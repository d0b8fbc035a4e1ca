# pullkey: `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help check fmt lint unit test demo tour lab-up lab-down lab-exec localacr bench bench-controller bench-node bench-pulls drill fuzz golden manifests tools image release

GO ?= go
# The tests of lab that need neither root nor a Kubernetes.
LAB_UNIT := ./localacr/... ./oracles/... ./oauth/... ./cmd/... ./progress/... ./program/... ./document/... ./bench/... ./chart/... ./tour/...

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

check: lint unit ## format, lint, arrows, unit tests (no root)

fmt: tools ## write all Go files as the formatters want them
	.bin/golangci-lint fmt ./...
	cd lab && ../.bin/golangci-lint fmt ./...
	cd lab/oracles/kubelet && ../../../.bin/golangci-lint fmt ./...
	cd release && ../.bin/golangci-lint fmt ./...

lint: tools
	.bin/golangci-lint run --allow-parallel-runners ./...
	cd lab && ../.bin/golangci-lint run --allow-parallel-runners ./...
	cd lab/oracles/kubelet && ../../../.bin/golangci-lint run --allow-parallel-runners ./...
	cd release && ../.bin/golangci-lint run --allow-parallel-runners ./...

unit:
	$(GO) test ./...
	$(GO) -C lab test $(LAB_UNIT)
	$(GO) -C release test -short ./...

test: ## all tests: unit, real API server, real node (root, Linux)
	@lab/test.sh

demo: ## pullkey's main job on real parts, told as it happens (root, Linux)
	@lab/run.sh lab demo

tour: ## the chain from OAuth to a pod that runs, link by link (root, Linux); PAGE=docs/guides/the-chain.zh-CN.md in Chinese
	@lab/run.sh lab tour $(PAGE)

lab-up: ## the demo's parts, left running for play
	@lab/run.sh lab up

lab-down: ## stop it
	@lab/run.sh lab down

# The command goes through the environment: make and the host's shell leave its
# quotes and dollars alone.
lab-exec: export LAB_CMD = $(value CMD)
lab-exec: ## run CMD='…' inside the running lab
	@test -n "$$LAB_CMD" || { echo "lab-exec needs CMD='…'" >&2; exit 2; }
	@lab/run.sh lab exec sh -c "$$LAB_CMD"

localacr: ## the local ACR alone: no root, no cluster
	@lab/run.sh localacr

bench: bench-controller bench-node bench-pulls ## all numbers of docs/reference/benchmarks.md; about an hour

bench-controller: ## what the controller costs a cluster: time, requests, memory (Linux)
	@lab/run.sh lab scale

bench-node: ## how long the programs of a node take to start (Linux)
	@lab/run.sh lab start

bench-pulls: ## pull 1 GB beside skopeo, oras, crane and containerd (root, Linux)
	@lab/run.sh lab bench

drill: ## faults on the real program, each judged write by write; the report goes to docs/reference/drills.md (Linux)
	$(GO) -C lab test ./drill -count=1 -timeout 3h -v -args -long -keep

image: .bin/release ## the controller's image in dist/image, for amd64 and arm64; VERSION=v1.2.3 names it
	@rm -rf dist/image
	@.bin/release --folder dist/image --version "$(VERSION)" image

release: .bin/release ## all of a release in dist/VERSION: programs, image, bills of materials, checksums
	@.bin/release --folder "dist/$(VERSION)" --version "$(VERSION)" all

.PHONY: .bin/release
.bin/release:
	@mkdir -p .bin
	@$(GO) -C release build -trimpath -buildvcs=false -o ../.bin/release ./cmd/release

fuzz: ## each fuzz target for 20 seconds
	@for target in $$(grep -rl '^func Fuzz' --include='*_test.go' internal lab | sort); do \
		module=.; case $$target in lab/*) module=lab; target=$${target#lab/};; esac; \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$module/$$target); do \
			$(GO) -C $$module test ./$$(dirname $$target) -run '^$$' -fuzz "^$$name$$" -fuzztime 20s || exit 1; \
		done; \
	done

golden: ## write the golden files anew; the diff is the review
	$(GO) test ./internal/explain -update
	$(GO) test ./internal/cli ./internal/cause -update
	$(GO) -C lab test ./chart -update
	$(GO) -C lab test ./oauth -run 'TheGuide|PersonApproves' -update
	$(GO) -C lab test ./conformance -update

manifests: ## write deploy/install.yaml from deploy/chart
	$(GO) -C lab test ./chart -update

tools: .bin/golangci-lint ## build the pinned tools into .bin

.bin/golangci-lint: tools/go.mod tools/go.sum
	@echo "building golangci-lint (about two minutes, once) …"
	@mkdir -p .bin
	$(GO) -C tools build -trimpath -buildvcs=false -o ../.bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

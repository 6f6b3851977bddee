# The commands of this repository. `make` lists them.

FUZZTIME ?= 30s
# The README of a data set says where to get it: make evaluate DATA=folder
DATA ?=
# A folder for screenshots of the end-to-end tests: make test SCREENSHOTS=screenshots
SCREENSHOTS ?=
# The tag of images: make images TAG=0.1
TAG ?= dev
# Where images are pushed, and for which platforms: make push-images REPOSITORY=registry.example/octavo
REPOSITORY ?=
PLATFORMS ?= linux/amd64,linux/arm64
# A release: make release-contracts VERSION=0.2
VERSION ?=
# A commit or tag: make skew REV=v0.1
REV ?=
# Further flags for go test: make test ARGS=-run=TestName
ARGS ?=

# Tools have modules of their own, so that the product's stays small.
tool = go tool -modfile=tools/$(1).mod

.DEFAULT_GOAL := help
.PHONY: help run build images push-images setup test test-fast bench bench-middleware scale search imports manifests fuzz faults soak evaluate skew kubernetes-test generate release-contracts lint format clean

help: ## List these commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start Octavo; then open the address it prints. Needs only Go.
	@mkdir -p bin
	go build -o bin/octavo ./cmd/octavo
	bin/octavo serve

build: ## Build all programs into bin/.
	@mkdir -p bin
	go build -o bin/ ./cmd/...

images: ## Pack the programs into container images in bin/images, with neither Docker nor a registry.
	go run -C tools/images . -out="$(CURDIR)/bin/images" -tag="$(TAG)"

push-images: ## Push the images, built for all PLATFORMS, to REPOSITORY/NAME:TAG.
	@test -n "$(REPOSITORY)" || { echo "name where to: make push-images REPOSITORY=registry.example/octavo TAG=0.1"; exit 2; }
	go run -C tools/images . -push="$(REPOSITORY)" -platforms="$(PLATFORMS)" -tag="$(TAG)"

setup: ## Install what the tests need (Debian packages, two npm packages), and build an S3 server.
	test/setup

test: setup manifests ## Set up and run all tests: Go with the race detector, browser, Python client.
	go test -C tools/images $(ARGS) .
	SCREENSHOTS=$(abspath $(SCREENSHOTS)) go test -race -shuffle=on -timeout=20m $(ARGS) ./...

test-fast: ## Run the tests that need only Go and PostgreSQL, without the race detector.
	go test $(ARGS) ./chassis/... ./cmd/... ./internal/... ./test/architecture/...

bench: ## Measure the cost of a request, and run the Go benchmarks.
	go run ./test/bench
	go test -run='^$$' -bench=. -benchmem $(ARGS) ./chassis/... ./internal/...

bench-middleware: ## Measure what each step of the middleware costs, and the usual libraries beside it.
	go test -run='^$$' -bench=Middleware -benchtime=35x $(ARGS) ./chassis

scale: ## Show how time and memory grow, up to a million readers. Takes long.
	go run ./test/scale

search: ## Show how well and how fast misspelled titles are found, among a million books.
	go run ./test/search

imports: ## Import a million rows of each kind of file, killed in the middle and gone on with.
	go test -count=1 -v -timeout=60m $(ARGS) -run=TestLargeImports ./test/endtoend -args -rows=1000000

manifests: ## Check what is in deploy/kubernetes, without a cluster.
	go test -C test/manifests $(ARGS) ./...

fuzz: ## Run every fuzz test for FUZZTIME (30s).
	@go list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r package dir; do \
	  for name in $$(cat "$$dir"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
	    echo "$$package $$name"; \
	    go test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=1s "$$package" || exit 1; \
	  done; \
	done

faults: ## Show what holds under overload and when parts fail, in about two minutes.
	go test -count=1 -v $(ARGS) ./test/resilience

soak: ## The same for ten times as long, floods beside users, a clock that jumps, kills and lost power.
	@failed=; \
	for part in './test/resilience -long' '-run=TestFloods ./test/faults -long' \
	  '-tags=clock -run=TestTheClockJumps ./test/faults' './test/durability -long'; do \
	  echo "go test $$part"; \
	  go test -count=1 -v -timeout=40m $(ARGS) $$part || failed="$$failed$$part; "; \
	done; \
	test -z "$$failed" || { echo "failed: $$failed"; exit 1; }

evaluate: ## Measure the recommender on DATA, a folder with train.tsv and test.tsv.
	@test -n "$(DATA)" || { echo "name a folder: make evaluate DATA=folder"; exit 2; }
	@mkdir -p bin
	go build -o bin/octavo ./cmd/octavo
	bin/octavo evaluate --train "$(DATA)/train.tsv" --test "$(DATA)/test.tsv"

skew: ## Run the programs of REV, an earlier release, together with those of today.
	go test -tags=skew -count=1 -timeout=20m -v -run='^TestSkew$$' ./test/endtoend -args -rev="$(REV)"

release-contracts: ## Keep the contracts as those of release VERSION, which all later ones have to understand.
	@test -n "$(VERSION)" || { echo "name the release: make release-contracts VERSION=0.2"; exit 2; }
	@test ! -e protobufs/released/$(VERSION).binpb || { echo "release $(VERSION) is kept already, and what is released does not change"; exit 2; }
	$(call tool,buf) buf build --exclude-source-info -o protobufs/released/$(VERSION).binpb

kubernetes-test: ## Run Octavo on a Kubernetes cluster made for it on this machine. Needs root and 10 GB of disk.
	test/kubernetes/setup
	$(MAKE) images
	go test -C test/kubernetes -count=1 -v -timeout=60m . -report="$(CURDIR)/bin/kubernetes/report.txt" $(ARGS)

generate: ## Write again all that is generated: from contracts, queries and templates, and dashboards.
	$(call tool,buf) buf generate
	$(call tool,sqlc) sqlc generate
	$(call tool,templ) templ generate -path internal
	go test ./cmd/octavo -run=TestTheReferenceIsCurrent -update
	go run -C tools/dashboards . $(CURDIR)/deploy/grafana

lint: ## Check style and find likely mistakes.
	@unformatted=$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 ls 2>/dev/null | xargs gofmt -l); \
	  test -z "$$unformatted" || { echo "not formatted (make format):"; echo "$$unformatted"; exit 1; }
	$(call tool,buf) buf lint
	for release in protobufs/released/*.binpb; do $(call tool,buf) buf breaking --against "$$release" || exit 1; done
	$(call tool,buf) buf format --diff --exit-code
	$(call tool,lint) golangci-lint run
	cd test/manifests && go tool -modfile=../../tools/lint.mod golangci-lint run
	cd test/kubernetes && go tool -modfile=../../tools/lint.mod golangci-lint run

format: ## Format Go, templates and contracts.
	gofmt -w chassis cmd internal test tools
	$(call tool,templ) templ fmt internal
	$(call tool,buf) buf format --write

clean: ## Remove what make has built; the data folder stays.
	rm -rf bin screenshots test/endtoend/node_modules

# Every command of the project. `make` alone prints this help.
.DEFAULT_GOAL := help
RUNS ?= 1000
PY := .venv/bin/python
SETUP = PYTHON="$(or $(PYTHON),python3)" SAY="$(if $(filter setup setup-dev,$(MAKECMDGOALS)),1)" ./scripts/setup.sh
# The longest first; each says what is wrong by itself, also where another failed
CHECKS := check-types check-code check-pages check-names check-images
.PHONY: help packages setup setup-dev try quick unit $(CHECKS) coverage demo demo-line \
	demo-rollout demo-people demo-watch drill test check bench fuzz attack chaos-line proto \
	pages docs blocks load plants matrix model stores bench-scale fairness soak deb release \
	units-test vm-test demo-segment bench-segment profile-release demo-part console-demo \
	demo-assess check-types check-pages check-names check-code attack-model bench-watch \
	segment-test chaos bench-console bench-verify deb-again image check-images \
	demo-vibration vibration-model demo-sites demo-upgrade clean
# A test that hangs says where it does, and fails instead of holding the run up
BOUNDED = $(PY) -m pytest -o faulthandler_timeout=100 -o faulthandler_exit_on_timeout=true
FIRST := try demo quick test docs
# What packages are made of: where any of it is newer than they are, they are no packages of it
PACKAGED := agent controller core proto packaging pyproject.toml requirements.txt \
	scripts/packages.py scripts/packaged
PACKAGES := build/packages/packages.json
TOGETHER = $(MAKE) --no-print-directory --jobs=2 --keep-going --output-sync=target
SOURCE ?=
STORE ?=
# Tests start hundreds of processes: each reads compiled modules instead of compiling them again
export PYTHONDONTWRITEBYTECODE :=

help: ## Show this help
	@awk -v first="$(FIRST)" -f scripts/help.awk $(MAKEFILE_LIST)

try: setup ## A small fleet to try things on, left running; says what to look at
	@.venv/bin/framegate-sim up

setup: ## Make .venv; install missing Debian packages where allowed
	@$(SETUP) run

setup-dev: ## The same, with what checks and tests need
	@$(SETUP) dev

demo: setup ## Tell the story on loopback; SOURCE=DIR: your images too; STORE=postgres: two controllers
	@$(PY) -m framegate_simulators.demo.$(if $(filter postgres,$(STORE)),controllers,chain $(if $(SOURCE),--source "$(SOURCE)"))

demo-rollout: setup ## A firmware update comes to a fleet: learn, sign, replay, shadow, canary, waves, enforce
	@$(PY) -m framegate_simulators.demo.rollout

demo-people: setup ## Roles, approvals by others, policy, break-glass, the record and what happens to an edited one
	@$(PY) -m framegate_simulators.demo.people

demo-line: setup ## A line in the terminal: everything dies once, a gateway lies, an export is refused
	@$(PY) -m framegate_simulators.demo.line

demo-watch: setup ## Four attacks, and who sees them: a SIEM over TLS, Prometheus, a playbook, incidents, figures
	@$(PY) -m framegate_simulators.demo.watch

demo-assess: setup ## Where a plant stands: a goal missed, a control broken, evidence an auditor recomputes
	@$(PY) -m framegate_simulators.demo.assess

demo-upgrade: setup ## A plant of the version before becomes one of this version while it runs (PostgreSQL); BEFORE=v0.1.0
	@./scripts/before.sh && $(PY) -m framegate_simulators.demo.upgrade

demo-sites: setup ## Two fleets: pinned, a receipt and a model server across, a visitor, links cut, one withdrawn
	@$(PY) -m framegate_simulators.demo.sites

demo-segment: setup ## Segments in network namespaces: prove, stream, be cut, clone, stage, map (needs root)
	@$(PY) -m framegate_simulators.demo.segment

bench-watch: setup ## What watching costs and how soon it acts; build/bench-watch.json and .md; QUICK=1: a tenth
	@$(PY) -m framegate_simulators.bench.watch $(if $(QUICK),--quick)

segment-test: setup ## Segments, 802.1X with a TPM's key, RADIUS, on the kernel's packet filter (needs root)
	@$(PY) -m pytest tests/integration/test_segments.py tests/integration/test_admission.py -m plants

bench-segment: setup ## How soon a segment cuts, and what it costs; build/bench-segment.json (needs root)
	@$(PY) -m framegate_simulators.bench.segment

demo-part: setup ## A part is learned from forty good pictures, and a scratched one is found
	@$(PY) -m framegate_simulators.demo.part

demo-vibration: setup ## A motor's vibration goes the same way: a damaged bearing is found, a channel masked, a receipt verified
	@$(PY) -m framegate_simulators.demo.vibration

vibration-model: setup ## Train the model of motors anew from drawn windows (SEED 7) into build/vibration-model, with its figures
	@rm -rf build/vibration-model && $(PY) -m framegate_simulators.vibration.train \
		--out build/vibration-model --seed $(or $(SEED),7)

console-demo: setup-dev ## The web console before a plant where things happen; CI=true takes its pictures and ends
	@$(PY) -m framegate_simulators.demo.console

drill: setup ## A camera replays old pictures: how soon is it found and contained, seen from outside
	@$(PY) -m framegate_simulators.demo.drill

test: setup-dev ## The tests (but for make plants, make blocks, make load), and beside them all checks
	@mkdir -p build
	@$(TOGETHER) $(CHECKS) > build/checks.log 2>&1 & checks=$$!; trap 'kill $$checks' INT TERM; \
	$(BOUNDED) -n auto; tests=$$?; \
	wait $$checks || { cat build/checks.log; \
	echo "the checks failed, as said above; the tests ended with $$tests" >&2; exit 1; }; \
	echo "not run here: make plants, units-test (under systemd), image, vm-test"; exit $$tests

plants: setup-dev ## Whole plants: people, models, CAs in hardware, brokers, your own camera; and long walks
	@$(PY) -m pytest -n auto -m plants

stores: setup-dev ## Unit tests and threats of the controller once more, on PostgreSQL
	@FRAMEGATE_TEST_STORE=postgres $(BOUNDED) -n 2 tests/unit/framegate_controller tests/threats

quick: setup-dev ## Before each commit: all checks, and beside them the unit tests that are quick
	@$(TOGETHER) unit $(CHECKS)

unit: setup-dev ## The unit tests alone, but for those that take seconds
	@$(BOUNDED) -n auto -m "not slow" tests/unit

coverage: setup-dev ## Measure branch coverage; fails under 97 % of the core
	@./scripts/coverage.sh

check: setup-dev ## Format, lint, types, layers, module borders, stale generated code
	@$(TOGETHER) $(CHECKS)

check-types:
	@$(PY) -m mypy --no-error-summary && $(PY) -m mypy --no-error-summary tests/typing

check-pages:
	@$(PY) scripts/pages.py --check && $(PY) scripts/links.py

check-names:
	@$(PY) scripts/names.py && $(PY) scripts/threats.py && $(PY) scripts/borders.py \
	&& $(PY) scripts/printing.py && $(PY) scripts/blocks.py && $(PY) scripts/exposure.py

check-code:
	@$(PY) -m ruff format --check -q . && $(PY) -m ruff check -q .
	@.venv/bin/lint-imports --no-cache > build-layers.log 2>&1 \
	|| { cat build-layers.log; rm -f build-layers.log; exit 1; }; rm -f build-layers.log
	@./scripts/proto.sh --check

bench: setup ## Measure; writes build/bench.json
	@$(PY) -m framegate_simulators.bench.run

bench-verify: setup ## Verification first and again; KEYLIME=PYTHON: beside Keylime; EVIDENCE=DIR, ROUNDS=12
	@$(PY) -m framegate_simulators.bench.beside $(if $(KEYLIME),--keylime "$(KEYLIME)") \
		$(if $(EVIDENCE),--evidence "$(EVIDENCE)") $(if $(ROUNDS),--rounds $(ROUNDS))

bench-console: setup-dev ## What the web console costs: build/bench-console.json
	@$(PY) -m framegate_simulators.bench.console

bench-scale: setup ## Cost of a machine by fleet's size: DEVICES (100 1000), STORE=postgres CONTROLLERS=2 SHARE=25
ifdef SHARE
	@$(PY) -m framegate_simulators.fleet.speedup --share $(SHARE) $(if $(STORE),--store $(STORE)) \
		$(if $(CONTROLLERS),--controllers $(CONTROLLERS)) $(if $(DEVICES),--devices $(DEVICES))
else
	@$(PY) -m framegate_simulators.fleet.cost $(if $(DEVICES),--devices $(DEVICES)) \
		$(if $(STORE),--store $(STORE)) $(if $(CONTROLLERS),--controllers $(CONTROLLERS))
	@$(PY) -m framegate_simulators.fleet.queueing
endif

fairness: setup ## One camera floods at ten times its rate: the others' p99 may be 1.5 times what it was
	@$(PY) -m framegate_simulators.bench.fairness

soak: setup ## A line at full speed for MINUTES (15): memory of every process flat, files within their rules
	@$(PY) -m framegate_simulators.bench.soak --minutes $(or $(MINUTES),15)

fuzz: setup-dev ## Fuzz every parser for SECONDS_TOTAL (600) seconds, from the kept corpus
	@./scripts/fuzz.sh

attack: setup ## Try every threat of the list against running programs
	@.venv/bin/framegate-sim attack --all

attack-model: setup ## Attack the shipped model and its second looks, BAD (8) frames an attack; DATA: DeepPCB
	@./scripts/attack_model.sh

chaos-line: setup ## kill -9 at random, RUNS times (1000): nothing uninspected is let through
	@$(PY) -m framegate_simulators.plant.chaos_line --runs $(RUNS)

chaos: setup ## RUNS (1000) short runs under faults at random instants, and what became of them
	@$(PY) -m framegate_simulators.chaos.run --runs $(RUNS)

proto: setup-dev ## Generate Python from proto/
	@./scripts/proto.sh

pages: setup-dev ## Write the reference pages that are made from declarations
	@$(PY) scripts/pages.py

docs: setup-dev ## Build the documentation's site into build/site; strict
	@./scripts/docs.sh

blocks: setup-dev ## Run every code block of README and docs as a reader would paste it
	@$(PY) -m pytest -m alone tests/blocks

load: setup-dev ## Strangers and heavy machines on the join port at once: the feed stays, cameras rejoin
	@$(PY) -m pytest -m alone tests/integration

matrix: ## Run both commands in bare root file systems; SYSTEMS, COMMANDS (needs root and mmdebstrap)
	@./scripts/matrix.sh

deb: setup-dev ## Build the Debian packages into build/packages, the same bytes each time; or NAMES alone
	@$(PY) scripts/packages.py $(NAMES)

packages: setup-dev
	@test -e $(PACKAGES) \
	&& test -z "$$(find $(PACKAGED) -newer $(PACKAGES) -type f ! -name '*.pyc' -print -quit)" \
	|| $(MAKE) --no-print-directory deb

# Every file of a package bears the time of the last commit: one that came since makes other bytes
deb-again: packages ## Build the packages once more elsewhere: every byte has to be the same
	@test "$$(git log -1 --format=%ct)" -le "$$(stat -c %Y $(PACKAGES))" \
	|| $(MAKE) --no-print-directory deb
	@OUT=build/packages-again $(PY) scripts/packages.py $(NAMES)
	@for each in build/packages-again/*.deb build/packages-again/*.whl; do \
	cmp "$$each" "build/packages/$${each##*/}" || exit 1; done
	@rm -rf build/packages-again && echo "the same bytes"

release: deb ## Packages with bills of materials, reference values, provenance; signed with KEY
	@$(PY) scripts/release.py && $(PY) scripts/footprint.py

profile-release: release ## Reference values of each package, for fleets' IMA rules: build/packages/*.allowlist

image: packages ## Build the servers' images and run a small plant of them (root, podman, buildah, mmdebstrap)
	@./scripts/images.sh build
	@$(PY) -m pytest -m alone -rs tests/images

check-images:
	@./scripts/images.sh check

units-test: packages ## Services under a real systemd in a container (needs root, mmdebstrap, systemd-container)
	@$(PY) -m pytest -m alone -rs tests/units

vm-test: packages ## The agent on a virtual machine with UEFI, TPM and IMA (root, qemu, mmdebstrap, mtools, ovmf, dosfstools); long
	@$(PY) -m pytest -m alone -rs -s tests/vm

model: setup ## Train the default model from nothing, for MINUTES (66)
	@./scripts/model.sh

clean: ## Remove what was built
	rm -rf build .venv .venv-docs .venv-train .venv-images \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# `make demo` and `make test` need only Debian, make and Python 3.11 or newer.

PYTHON ?= python3
BIN := .venv/bin
# Two processes a core: tests wait for a disk or a process half of their time. The tests of a file
# share what is expensive to make; tests/conftest.py begins with the long files.
PROCESSES := -n 4 --dist loadfile --no-loadscope-reorder

# Python keeps what it compiled, whatever the shell says: a tenth of the suite's time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-all check chaos chaos-forget chaos-hosts chaos-power chaos-remote remote oxen-server soak bench docs languages lock wheel image-check format clean

# The demo's model needs torch, which is large; ARGS=--placeholder needs neither.
demo: $(if $(findstring --placeholder,$(ARGS)),.venv/.demo,.venv/.demo .venv/.gpu) ## set everything up and open the demo in the browser
	$(BIN)/oxherd demo $(ARGS)

test: .venv/.dev .venv/.browser ## set everything up and run the tests but the long ones
	$(BIN)/pytest $(PROCESSES) -m "not long" $(ARGS)

test-all: .venv/.dev .venv/.browser ## run all tests; the 20 slowest and the time are printed last
	$(BIN)/pytest $(PROCESSES) --durations 20 $(ARGS)

check: .venv/.dev ## format, lint, types, import contracts, the Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile.gpu

chaos: .venv/.dev ## 200 kill -9 of the whole program under load
	$(BIN)/python -m tests.chaos.kill_nine --kills 200 $(ARGS)

chaos-forget: .venv/.dev ## 50 kill -9 of forget and refound; the person is then looked for everywhere
	$(BIN)/python -m tests.chaos.kill_forgetting --kills 50 $(ARGS)

chaos-hosts: .venv/.dev ## kill, freeze, cut off and add hosts of a local Ray cluster while 20 people ask
	$(BIN)/python -m tests.chaos.hosts $(ARGS)

chaos-power: .venv/.dev ## 20 power cuts under load, 10 of them soon after the first start; needs root
	$(BIN)/python -m tests.chaos.power_cuts $(ARGS)

chaos-remote: .venv/.dev ## 100 kill -9 in the middle of a push to a real Oxen server
	$(BIN)/python -m tests.chaos.kill_pushing --kills 100 $(ARGS)

remote: .venv/.dev ## every fault at every request of a push to a real Oxen server
	EVERY_REQUEST=1 $(BIN)/pytest tests/test_remote_server.py $(ARGS)

oxen-server: ## build the Oxen server that the tests of pushing use; ARGS=0.65.2 for the newest
	sh scripts/oxen-server $(ARGS)

soak: .venv/.dev .venv/.browser ## an hour of the demo in a real browser
	$(BIN)/python -m tests.chaos.soak_demo $(ARGS)

bench: .venv/.dev ## the benchmarks, one after another, JSON on standard output
	for name in acknowledge throughput growth memory startup; do \
		$(BIN)/python -m benchmarks.$$name || exit 1; \
	done

wheel: .venv/.dev ## build the wheel and try it in a fresh environment
	sh scripts/try-wheel

image-check: ## build Dockerfile.gpu with buildah and try the image; needs root and 45 GB of disk
	sh scripts/image-check

languages: .venv/.dev ## bring the catalogues up to date with the sentences in the code, and compile them
	$(BIN)/python -m docs.catalogues

docs: .venv/.dev ## write docs/files.md and docs/settings.md from the code
	$(BIN)/python -m docs.generate

lock: .venv/.dev ## choose new versions and lock them
	sh scripts/lock

format: .venv/.dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv dist

.venv/bin/python:
	sh scripts/make-venv "$(PYTHON)"

# An environment that has .dev has everything that .demo and .gpu have.
.venv/.demo .venv/.gpu: .venv/.%: locks/%.txt locks/build.txt pyproject.toml | .venv/bin/python
	test -e .venv/.dev || sh scripts/install $*
	touch $@

.venv/.dev: locks/dev.txt locks/build.txt pyproject.toml | .venv/bin/python
	sh scripts/install dev
	touch $@

.venv/.browser: | .venv/bin/python
	sh scripts/need-chromium
	touch $@

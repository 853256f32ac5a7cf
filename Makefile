# Targets are listed by `make help`. Each sets up .venv by itself when it needs it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two marks in it: what builds the book is there, and all the rest too.
BOOK := $(VENV)/.book
READY := $(VENV)/.ready
COLAB := $(VENV)/colab/.ready
NODE := tests/laboratory/node_modules/.package-lock.json
OLDEST := $(VENV)/oldest/bin/python
OLDEST_TORCH := $(shell sed -n 's/.*"torch>=\([0-9.]*\)".*/\1/p' pyproject.toml)
GROUPS := $(foreach group,book test teach deploy dev,--group $(group))

# Kernels of this environment come before those in the user's home.
export JUPYTER_PREFER_ENV_PATH := 1

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 24

book: $(BOOK) ## build the book from the stored outputs, with every warning an error
	rm -rf _build/html # a page that is no more must not be published
	$(BIN)/jupyter-book build -W -n --keep-going --all .
	$(BIN)/python -m tools.check_html _build/html
	@echo "The book is in _build/html/index.html"

test: $(READY) ## run the tests: the package, every cell of every chapter, the book
	$(BIN)/pytest
	@echo "All tests passed: the package, every cell of every chapter, the book."

challenge: $(READY) ## run the chapters with other seeds, rates and settings; one: make challenge CH=06
	$(BIN)/python -m tools.challenge $(CH)

run: $(READY) ## execute the chapters in place; one: make run CH=06; what is stale: make run STALE=1
	$(BIN)/python -m tools.run $(CH) $(if $(STALE),--stale)

chapter: $(READY) ## begin a chapter from the template: make chapter N=18 SLUG=colab
	$(BIN)/python -m tools.chapter $(N) $(SLUG)

standalone: $(BOOK) ## write notebooks that run anywhere, on Colab too, into _build/standalone
	$(BIN)/python -m tools.standalone _build/standalone

pdf: $(READY) book ## make one PDF of the book, with Chromium
	$(BIN)/python -m tools.pdf _build/html _build/batch-normalization-inside-out.pdf

test-browser: $(READY) book ## look at every page of the built book in Chromium
	$(BIN)/pytest -m browser tests/book/test_pages.py tests/book/test_laboratory.py tests/book/test_pdf.py --dist loadgroup
	if { command -v chromium || command -v chromium-browser; } > /dev/null; then $(BIN)/python benchmarks/page_weight.py _build/html; fi

test-laboratory: $(NODE) ## test the arithmetic of the laboratory in the browser, with Node.js
	cd tests/laboratory && npx tsc --project . && node --test

test-standalone: $(COLAB) ## run every standalone notebook in an empty folder, as on Colab
	$(BIN)/pytest -m slow tests/book/test_standalone.py --dist load

test-oldest: $(BOOK) ## test the package with the oldest PyTorch that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/oldest
	$(BIN)/uv pip install --python $(OLDEST) --group test "torch==$(OLDEST_TORCH).*" --editable .
	$(OLDEST) -m pytest tests/normlab

release: $(READY) ## write the assignments for students, without solutions, into assignments/release
	$(BIN)/python -m classroom.release $(A)

grade: $(READY) ## grade a class: make grade A=A1 FROM=folder DEADLINE="2026-12-01 18:00"
	$(BIN)/python -m classroom.grade $(A) $(if $(FROM),"$(FROM)") \
	  $(if $(DEADLINE),--deadline "$(DEADLINE)") $(if $(filter none,$(SANDBOX)),--no-sandbox) \
	  $(if $(JOBS),--slurm $(JOBS))

marking: $(READY) ## mark the written answers in the browser
	cd assignments && ../$(BIN)/jupyter server --ServerApp.open_browser=True \
	  --ServerApp.default_url=/formgrader/gradebook --ServerApp.root_dir=.

test-grading: $(READY) ## grade 200 submissions, and every wrong solution with nbgrader
	$(BIN)/pytest -m slow tests/classroom/test_grading_at_scale.py -k evening -n 0
	$(BIN)/pytest -m slow tests/classroom/test_grading_at_scale.py -k points --dist load

test-slurm: $(READY) ## grade a class and train with Slurm, on a cluster of this one machine; as root
	$(BIN)/pytest -m slow -n 0 tests/classroom/test_slurm.py tests/chapters/test_slurm.py

lab: $(READY) ## open the chapters in JupyterLab
	$(BIN)/jupyter lab chapters

lint: $(READY) ## check the style of code and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(READY) ## bring code and notebooks into style
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

hooks: $(READY) ## check style and rules before every commit
	$(BIN)/pre-commit install

requirements: $(BOOK) ## pin what pyproject.toml asks for; newest versions: make requirements NEW=1
	$(BIN)/uv pip compile --universal pyproject.toml $(GROUPS) -o requirements.txt $(if $(NEW),--upgrade)

clean: ## remove the book, the environment and the caches
	rm -rf $(VENV) _build tests/laboratory/node_modules .hypothesis .pytest_cache .ruff_cache

# uv takes 20 seconds where pip takes two minutes. A mark comes last: a failure leaves none.
$(BOOK): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
	{ echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13 with venv. Install one and name it:" \
	"make $(MAKECMDGOALS) PYTHON=python3.12 (Debian and Ubuntu: apt install python3.12-venv)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.txt)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group book --constraints requirements.txt
	@touch $@

$(READY): $(BOOK)
	@echo "Adding PyTorch and the tools of the tests to $(VENV), about 6 GB, once."
	$(BIN)/uv pip install --python $(BIN)/python --requirements requirements.txt --editable .
	@touch $@

# A second environment, with what Colab offers and without this project.
$(COLAB): tests/book/colab.txt $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(@D)
	$(BIN)/uv pip install --python $(@D)/bin/python -r $<
	@touch $@

# TypeScript checks the types; nothing of it ships.
$(NODE): tests/laboratory/package-lock.json
	npm ci --prefix tests/laboratory --no-audit --no-fund
	@touch $@

.PHONY: help book test challenge run chapter standalone pdf test-browser test-laboratory test-standalone test-oldest release grade marking test-grading test-slurm
.PHONY: lab lint format hooks requirements clean

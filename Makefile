# Each target sets up .venv first (python >= 3.11; name another with `make test PYTHON=python3.12`) and does not redo it.
PYTHON ?= python3
RUN = .venv/bin/python
SETUP = $(PYTHON) -m scripts.set_up

.PHONY: demo demo-train quick test test-full test-gpu clean

demo:  ## the shipped adapter beside the expert: the table in outputs/demo/
	@$(SETUP) --model smollm2
	@$(RUN) -m scripts.demo

demo-train:  ## data, a few minutes of training, replay: the table in outputs/demo_train/
	@$(SETUP) --assets bfcl --model smollm2
	@$(RUN) -m scripts.demo train

quick:  ## the expert on twenty tasks, no weights
	@$(SETUP) --assets bfcl
	@$(RUN) -m scripts.quick

test:
	@$(SETUP) --extras dev --assets bfcl smollm2 --optional qwen2.5 llama3.2
	@$(RUN) -m pytest -q

test-full:  ## also what is slow or needs extras (DeepSpeed, llama.cpp, MCP, Pipecat, LiveKit, OpenAI's SDK, a browser)
	@$(SETUP) --extras dev deepspeed llamacpp mcp pipecat livekit openai browser --assets bfcl smollm2 qwen2.5 llama3.2
	@$(RUN) -m pytest -q -m "slow or full or not slow"

test-gpu:  ## what only a CUDA GPU can show, with the packages of the Python at hand: torch there is built for it
	@$(PYTHON) -m pytest -q tests/gpu

clean:  ## what was built and measured here; the cache folder stays
	rm -rf .venv outputs build dist *.egg-info .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

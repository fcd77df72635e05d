# make demo and make test set up what they need. Everything is installed into .venv, nothing outside the repository.

PYTHON ?= python3
# Installed first and alone, because torch comes in builds. The default is what pip finds by itself; name the index of
# another build (CPU or CUDA) behind the version:  make env TORCH="torch==2.13.0 --index-url <index of the build>"
TORCH ?= torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# Where a ROS 2 is sourced, the environment uses it instead of the wheels: two of them must not be mixed.
ifdef ROS_DISTRO
VENV_FLAGS := --system-site-packages
EXTRAS := sim,train,record,console,view,realsense,franka,dev,docs
else
EXTRAS := sim,train,record,console,view,realsense,franka,ros,rosidl,dev,docs
endif

# An FR3 in software, to rehearse on and to test against; it needs other versions of NumPy and MuJoCo.
FRANKA_SIM := .venv-franka-sim
FRANKA_SIM_STAMP := $(FRANKA_SIM)/.made

.PHONY: help env demo test lint docs bench demo-checkpoint franka-sim clean

help:
	@echo "make demo             simulated cell, node graph and shipped checkpoint; results in runs/demo/"
	@echo "make test             ruff, mypy and all tests"
	@echo "make lint             ruff and mypy"
	@echo "make docs             the documentation, in site/"
	@echo "make bench            the benchmarks"
	@echo "make demo-checkpoint  trains checkpoints/demo anew, from demonstrations on"
	@echo "make franka-sim       an FR3 in software, for genima rehearse and the tests, in $(FRANKA_SIM)"
	@echo "make env              only the environment, in .venv"
	@echo "make clean            removes what builds and tests leave behind"

env: $(STAMP)

# pip would compile on one core; compileall takes all of them.
$(STAMP): Makefile setup.cfg setup.py package.xml constraints.txt
	$(PYTHON) -m venv $(VENV_FLAGS) $(VENV)
	@echo "installing torch, then everything else (two to three minutes) ..."
	$(PIP) install --no-compile $(TORCH)
	$(PIP) install --no-compile -c constraints.txt -e '.[$(EXTRAS)]'
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

franka-sim: $(FRANKA_SIM_STAMP)

$(FRANKA_SIM_STAMP): Makefile
	$(PYTHON) -m venv $(FRANKA_SIM)
	$(FRANKA_SIM)/bin/python -m pip --quiet --disable-pip-version-check install franka-sim==1.1.7
	@touch $@

demo: env
	$(BIN)/genima demo

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two workers; tests that start node graphs share one of them, so that no two graphs compete.
test: lint franka-sim
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# The reference is read from the code; nothing is fetched, and a warning is an error. The variable keeps an advertisement
# of the theme's successor out of the output.
docs: env
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: env
	$(BIN)/genima bench

# What the shipped checkpoint was made with, on two cores. Every step goes on where it stopped, so an interrupted run is
# simply started again.
SUITE ?= demo
EPISODES ?= 500
DISTURBED ?= 0.6
VIEW ?= 64
PRECISION ?= bfloat16
AUTOENCODER_MINUTES ?= 8
DIFFUSION_MINUTES ?= 190
CONTROLLER_MINUTES ?= 22
WORK ?= runs/demo-checkpoint
PARTS = --data $(WORK)/data --autoencoder $(WORK)/autoencoder --diffusion $(WORK)/diffusion \
	--controller $(WORK)/controller --out checkpoints/demo --licence Apache-2.0 --repeated-by 'make demo-checkpoint'

demo-checkpoint: env
	$(BIN)/genima collect --suite $(SUITE) --episodes $(EPISODES) --seed 0 --size $(VIEW) --disturbed $(DISTURBED) --workers 2 \
		--out $(WORK)/data
	$(BIN)/genima train autoencoder --data $(WORK)/data --out $(WORK)/autoencoder --minutes $(AUTOENCODER_MINUTES)
	$(BIN)/genima train diffusion --data $(WORK)/data --out $(WORK)/diffusion --minutes $(DIFFUSION_MINUTES) \
		--autoencoder $(WORK)/autoencoder --precision $(PRECISION)
	$(BIN)/genima train controller --data $(WORK)/data --out $(WORK)/controller --minutes $(CONTROLLER_MINUTES) \
		--autoencoder $(WORK)/autoencoder --variants 2
	$(BIN)/genima checkpoint $(PARTS)
	$(BIN)/genima eval --suite $(SUITE) --controls --workers 2 --json $(WORK)/results.json
	$(BIN)/genima checkpoint $(PARTS) --results $(WORK)/results.json

clean:
	rm -rf build install log dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find genima_core genima_ros launch tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

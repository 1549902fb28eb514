# SPDX-License-Identifier: MIT
#
# The verbs people try first; meson does the work. Each verb does its own
# set-up, missing Debian packages included.

BUILD ?= build
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
MIGRATIONS ?= 200

KILLS ?= 100
KILLS_CALLS ?= all
UPGRADES ?= 100

.PHONY: build demo check soak soak-migrate bench install fuzz guest clean help
.DEFAULT_GOAL := build

# What a goal needs is all asked for at once, by what it is built upon.
NEED = build
guest demo: NEED = guest
bench: NEED = bench
soak soak-migrate: NEED = test

build: $(BUILD)/build.ninja
	@tools/deps $(NEED)
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	@tools/deps $(NEED)
	meson setup --prefix $(PREFIX) $(BUILD)

# The bootable guest: BUILD/guest and BUILD/guest-dynamic.
guest: build
	guest/test-guest $(BUILD)

demo: guest
	$(BUILD)/src/cli/vmchannel demo

check:
	@tools/deps test
	tools/check --build $(BUILD) $(if $(QUICK),--quick)

# What takes too long for every check; SEED=N repeats a run.
soak: guest
	tools/check --soak --build $(BUILD) --kills $(KILLS) \
		--calls $(KILLS_CALLS) --upgrades $(UPGRADES) --migrations $(MIGRATIONS) \
		$(if $(SEED),--seed $(SEED))

# A guest that moves again and again under load; SEED=N repeats a run.
soak-migrate: guest
	tests/vm/soak-migrate --build $(BUILD) --migrations $(MIGRATIONS) \
		$(if $(SEED),--seed $(SEED))

bench: guest
	bench/run.py --build $(BUILD) $(if $(QUICK),--quick)

install: build
	meson install -C $(BUILD) --no-rebuild

fuzz:
	@tools/deps fuzz
	tests/fuzz/run $(FUZZ_SECONDS)

clean:
	rm -rf $(BUILD) build-*

help:
	@echo 'make             build (into BUILD=build)'
	@echo 'make demo        build, boot a small VM, show what channels do'
	@echo 'make check       all tests and checks; QUICK=1 leaves out slow ones'
	@echo 'make soak        the long runs: KILLS=100 UPGRADES=100 MIGRATIONS=200'
	@echo 'make soak-migrate  MIGRATIONS=200 of a guest under load'
	@echo 'make bench       measure against raw ports and TCP; QUICK=1'
	@echo 'make install     PREFIX=/usr/local (at the first build), DESTDIR='
	@echo 'make fuzz        each fuzz target for FUZZ_SECONDS=60'
	@echo 'make guest       only the bootable test guest'
	@echo 'make clean       remove the build folders'

# Two commands for a newcomer: `make demo` and `make test`. Each sets up what it needs.
BUILD ?= build

.PHONY: help setup build demo test install clean

help:
	@echo "make demo     install what is missing, build, and let a small language model complete a sentence"
	@echo "make test     the same for the tests: unit, conformance, models, tokenizer, installation"
	@echo "make build    only build (into $(BUILD)/)"
	@echo "make install  install to PREFIX (default /usr/local)"

setup:
	@tools/setup.sh

build: setup
	@cmake --preset release -B $(BUILD) $(if $(VERBOSE),,--log-level=WARNING) > /dev/null
	@cmake --build $(BUILD) --target $(if $(TARGETS),$(TARGETS),all)

demo:
	@$(MAKE) --no-print-directory build TARGETS=cameo_cli
	@tools/demo.sh $(BUILD)

test:
	@tools/setup.sh --tests
	@$(MAKE) --no-print-directory build
	@ctest --test-dir $(BUILD) --output-on-failure --no-tests=error

install: build
	@cmake --install $(BUILD) --prefix $(if $(PREFIX),$(PREFIX),/usr/local)

clean:
	rm -rf $(BUILD)

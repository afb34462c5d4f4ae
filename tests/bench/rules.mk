# Benchmarks: programs linked as the tests are, and tests/bench/run, which runs them all.
BENCH := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))

$(filter-out $(BUILD)/bench/preload_cost,$(BENCH)): $(BUILD)/bench/%: \
		$(BUILD)/obj/tests/bench/%.o $(TEST_LIB_OBJ) $(BUILD)/librig.a
	$(test_program)
$(BUILD)/bench/graph: | $(TEST_GUEST_BIN)

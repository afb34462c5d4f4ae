# The fuzz targets, built by `make fuzz-smoke` with B=fuzz: the library's own rules with clang, the sanitizers
# and coverage in place of gcc's. Seeds are golden files, and what tests/fuzz/seeds.c makes.
FUZZ_S ?= 30
FUZZ := $(patsubst tests/fuzz/%.c,$(BUILD)/bin/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SEEDS := $(BUILD)/bin/seeds

$(FUZZ): $(BUILD)/bin/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/librig.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)

$(FUZZ_SEEDS): $(BUILD)/obj/tests/fuzz/seeds.o $(BUILD)/obj/tests/fuzz/seeds_main.o $(call obj,$(wildcard tests/fake/*_gen.c)) $(BUILD)/librig.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

.PHONY: fuzz-run
fuzz-run: $(FUZZ) $(FUZZ_SEEDS)
	$(FUZZ_SEEDS) $(BUILD)/corpus/seeds
	tests/fuzz/run $(BUILD)/corpus $(FUZZ_S) $(FUZZ)

# Each target for a moment, as a unit test, without clang: its seeds and changes of them.
FUZZ_QUICK := $(patsubst tests/fuzz/fuzz_%.c,$(BUILD)/tests/test_fuzz_%,$(wildcard tests/fuzz/fuzz_*.c))
unit: $(FUZZ_QUICK)
$(FUZZ_QUICK): $(BUILD)/tests/test_%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/obj/tests/fuzz/quick.o \
		$(BUILD)/obj/tests/fuzz/seeds.o $(TEST_LIB_OBJ) $(BUILD)/librig.a
	$(test_program)

# librigfault.so: the preload of the guest, over a private copy of libfiu (see rig_libfiu.c), and
# the witness's half of the board, which the tests link too.

PRELOAD := $(BUILD)/guest/librigfault.so
PRELOAD_SRC := $(wildcard faults/guest/rig_*.c faults/guest/calls*.c) \
	$(addprefix faults/guest/board_,glob.c meet.c points.c)
PRELOAD_OBJ := $(PRELOAD_SRC:%.c=$(BUILD)/preload/%.o)
# No sanitizers, no fortified headers: these functions are the ones such headers rename.
PRELOAD_CFLAGS := -std=gnu17 -O2 -g -D_GNU_SOURCE -U_FORTIFY_SOURCE -fPIC -fvisibility=hidden \
	-fno-strict-aliasing $(WARN) -Wno-nonnull-compare -Wno-pedantic $(if $(CI),-Werror)
LIBFIU_ARCHIVE ?= $(shell pkg-config --variable=libdir libfiu 2>/dev/null)/libfiu.a

BOARD_CONTROL_SRC := $(wildcard faults/guest/board*.c)
BOARD_CONTROL_OBJ := $(BOARD_CONTROL_SRC:%.c=$(BUILD)/obj/%.o)

GUEST_BIN += $(PRELOAD)

$(BUILD)/preload/%.o: %.c faults/guest/rules.mk
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(PRELOAD_CFLAGS) -I . -MMD -MP -c -o $@ $<

$(BUILD)/preload/libfiu.a: faults/guest/libfiu.syms $(LIBFIU_ARCHIVE) faults/guest/rules.mk
	@mkdir -p $(@D)
	objcopy --globalize-symbol=rigfault_enabled_fails_lock --redefine-syms=$< $(LIBFIU_ARCHIVE) $@

$(PRELOAD): $(PRELOAD_OBJ) $(BUILD)/preload/libfiu.a
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -shared -Wl,--exclude-libs,ALL -Wl,-z,defs -Wl,-soname,librigfault.so -o $@ $^

-include $(PRELOAD_OBJ:.o=.d)

$(BUILD)/tests/test_board: $(BOARD_CONTROL_OBJ)
$(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_preload*.c)): \
	$(BOARD_CONTROL_OBJ) | $(PRELOAD)

$(BUILD)/tests/test_preload: LDFLAGS += -Wl,--export-dynamic-symbol=sync_as_commit

# What a point costs, armed and not: run by make bench.
$(BUILD)/bench/preload_cost: tests/bench/preload_cost.c $(BOARD_CONTROL_OBJ) | $(PRELOAD)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CFLAGS) -I . -MMD -MP -o $@ $^ $(LDFLAGS) -lfiu

# A program that the preload does not reach, for the tracer's test.
$(BUILD)/tests/raw_calls: tests/unit/raw_calls.c faults/guest/rules.mk
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu17 -O2 -g -D_GNU_SOURCE $(WARN) $(if $(CI),-Werror) -static -pthread -o $@ $<

$(BUILD)/tests/test_tracer: $(BOARD_CONTROL_OBJ) | $(BUILD)/tests/raw_calls

# Guest programs that must stand on their own: static, whatever is broken or frozen around them, and
# never built with sanitizers.
#	init		PID 1
#	witness		the rig's agent in the guest, with the witness's half of the fault board

GUEST_CFLAGS := -std=gnu17 -O2 -g -D_GNU_SOURCE -fno-omit-frame-pointer $(WARN) $(if $(CI),-Werror)
INIT_OBJ := $(patsubst %.c,$(BUILD)/static/%.o,$(wildcard vm-images/guest/init*.c))
WITNESS_OBJ := $(patsubst %.c,$(BUILD)/static/%.o,\
	$(wildcard vm-images/guest/witness*.c faults/guest/board*.c))

GUEST_BIN += $(BUILD)/guest/init $(BUILD)/guest/witness

$(BUILD)/static/%.o: %.c vm-images/guest/rules.mk
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(GUEST_CFLAGS) -I rig -I . -MMD -MP -c -o $@ $<

$(BUILD)/guest/init: $(INIT_OBJ)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -static -o $@ $^

$(BUILD)/guest/witness: $(WITNESS_OBJ)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -static -pthread -o $@ $^ -ljansson

-include $(INIT_OBJ:.o=.d) $(WITNESS_OBJ:.o=.d)

# The zoo as a program of a guest: static, nothing of rig/. `mailrig score` finds it as it finds what a target
# brings (rig/run/bed_spec.c).
ZOO_OBJ := $(patsubst %.c,$(BUILD)/static/%.o,\
	$(filter-out tests/zoo/scan.c,$(wildcard tests/zoo/*.c)) tests/zoo/program/main.c)

GUEST_BIN += $(BUILD)/targets/zoo/zoo

$(BUILD)/targets/zoo/zoo: $(ZOO_OBJ)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -static -pthread -o $@ $^

-include $(ZOO_OBJ:.o=.d)

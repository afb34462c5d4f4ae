# The zoo as a program of a guest: static, nothing of rig/. `mailrig score` finds it as it finds what a target
# brings (rig/run/bed/bed_spec.c). No preload reaches a static program, so it has the free journal built in.
ZOO_OBJ := $(patsubst %.c,$(BUILD)/static/%.o,\
	$(filter-out tests/zoo/scan.c,$(wildcard tests/zoo/*.c)) $(wildcard tests/zoo/program/*.c) \
	$(addprefix faults/guest/,rig_frees.c board_meet.c board_glob.c))
ZOO_WRAP := malloc calloc realloc free

GUEST_BIN += $(BUILD)/targets/zoo/zoo

$(BUILD)/targets/zoo/zoo: $(ZOO_OBJ)
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -static -pthread $(ZOO_WRAP:%=-Wl,--wrap=%) -o $@ $^

-include $(ZOO_OBJ:.o=.d)

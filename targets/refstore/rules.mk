# The reference store's programs: found in the guest beside the target's scripts. Dynamic, so that
# the preload reaches them; the same ones whatever the rig itself is built with.

REFSTORE := build/targets/refstore
# No inlining, no sibling calls, no other parameters: a stack shows the functions as they are written.
REFSTORE_CFLAGS := -std=gnu17 -O2 -g -D_GNU_SOURCE -fno-omit-frame-pointer -fno-inline -fno-ipa-sra \
	-fno-optimize-sibling-calls $(WARN) $(if $(CI),-Werror)
REFSTORE_STORE := store control move notify convert task wal db db_state db_ops \
	imap imap_parse imap_fetch imap_change pop3
REFSTORE_SMTP := smtp smtp_store smtp_queue smtp_remote smtp_track smtp_session
REFSTORE_BOTH := common config settings
refstore_obj = $(patsubst %,build/refstore/%.o,$(1) $(REFSTORE_BOTH))
REFSTORE_BIN := $(addprefix $(REFSTORE)/,refstore-store refstore-smtp refstore-mta refstore-manager refctl)

GUEST_BIN += $(REFSTORE_BIN)

build/refstore/%.o: targets/refstore/%.c targets/refstore/rules.mk
	@mkdir -p $(@D)
	$(CC) $(REFSTORE_CFLAGS) -MMD -MP -c -o $@ $<

$(REFSTORE)/refstore-store: $(call refstore_obj,$(REFSTORE_STORE))
$(REFSTORE)/refstore-smtp: $(call refstore_obj,$(REFSTORE_SMTP))
$(REFSTORE)/refstore-mta: $(call refstore_obj,mta)
$(REFSTORE)/refstore-manager: $(call refstore_obj,manager)
$(REFSTORE)/refctl: $(call refstore_obj,refctl)
$(REFSTORE_BIN):
	@mkdir -p $(@D)
	$(CC) -rdynamic -pthread -o $@ $^

$(BUILD)/tests/test_refstore $(BUILD)/tests/test_refstore_clients: | $(REFSTORE_BIN)

-include $(wildcard build/refstore/*.d)

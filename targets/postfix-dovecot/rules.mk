# Content filter, policy service and directory of this target: one source, found in the guest beside its scripts.
# Dynamic, so that the preload reaches them; but the policy service, which is static as one written in Go would be.
HELPERS := $(addprefix build/targets/postfix-dovecot/,filter policy directory)
GUEST_BIN += $(HELPERS)

$(HELPERS): targets/postfix-dovecot/helper.c targets/postfix-dovecot/rules.mk
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) -std=gnu17 -O2 -g -D_GNU_SOURCE $(WARN) $(if $(CI),-Werror) -DASKED='"$(@F)"' $(if $(filter policy,$(@F)),-static) -o $@ $<

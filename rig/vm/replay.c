#include "vm/replay.h"

#include "base/buf.h"

#include <libnbd.h>
#include <string.h>

#define REQUEST_MAX (1u << 20) /* well below what any NBD server takes */

struct replay {
	struct nbd_handle *nbd;
	char *layer;
};

static int failed(const struct replay *replay, struct err *err)
{
	int errnum = nbd_get_errno();

	return err_set(err, errnum > 0 ? -errnum : -EIO, "cannot write to the layer '%s': %s",
		replay->layer, nbd_get_error());
}

static void replay_free(struct replay *replay)
{
	if (replay->nbd)
		nbd_close(replay->nbd);
	free(replay->layer);
	free(replay);
}

int replay_open(const char *layer, struct replay **ret, struct err *err)
{
	struct replay *replay = mem_zero(1, sizeof(*replay));
	/* The host does not lose power: nobody needs its flushes. */
	char *argv[] = {"qemu-nbd", "--format=qcow2", "--cache=unsafe", "--discard=unmap",
		(char *)(uintptr_t)layer, NULL};
	int rc;

	replay->layer = text_dup(layer);
	replay->nbd = nbd_create();
	if (!replay->nbd || nbd_connect_systemd_socket_activation(replay->nbd, argv)) {
		rc = failed(replay, err);
		replay_free(replay);
		return rc;
	}
	*ret = replay;
	return 0;
}

int replay_entry(struct replay *replay, const struct write_entry *entry, struct err *err)
{
	for (uint64_t done = 0; done < entry->len;) {
		uint64_t left = entry->len - done;
		size_t part = left < REQUEST_MAX ? (size_t)left : REQUEST_MAX;
		int rc = entry->data ? nbd_pwrite(replay->nbd, entry->data + done, part,
					       entry->offset + done, 0)
				     : nbd_zero(replay->nbd, part, entry->offset + done, 0);

		if (rc)
			return failed(replay, err);
		done += part;
	}
	return 0;
}

int replay_close(struct replay *replay, struct err *err)
{
	int rc = 0;

	if (!replay)
		return 0;
	/* The server writes its tables out when its one client has said goodbye; closing waits for it. */
	if (nbd_flush(replay->nbd, 0) || nbd_shutdown(replay->nbd, 0))
		rc = failed(replay, err);
	replay_free(replay);
	return rc;
}

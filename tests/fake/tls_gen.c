#include "tests/fake/tls_gen.h"

#include <assert.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

struct pair {
	SSL_CTX *contexts[2];
	SSL *ssl[2];
	struct talk *out;
};

static void *sure(void *got)
{
	if (!got)
		abort();
	return got;
}

/* ---- certificates ---- */

static X509 *certificate(EVP_PKEY *key)
{
	X509 *x509 = sure(X509_new());
	X509_NAME *name = X509_get_subject_name(x509);

	ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
	X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x509), 3600L * 24 * 365);
	X509_set_pubkey(x509, key);
	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)"store", -1, -1, 0);
	X509_set_issuer_name(x509, name);
	if (!X509_sign(x509, key, EVP_sha256()))
		abort();
	return x509;
}

SSL_CTX *tls_server_context(void)
{
	SSL_CTX *context = sure(SSL_CTX_new(TLS_server_method()));
	EVP_PKEY *key = sure(EVP_EC_gen("P-256"));
	X509 *x509 = certificate(key);

	if (SSL_CTX_use_certificate(context, x509) != 1 ||
		SSL_CTX_use_PrivateKey(context, key) != 1)
		abort();
	X509_free(x509);
	EVP_PKEY_free(key);
	return context;
}

static struct buf *key_log;

static void on_key(const SSL *ssl, const char *line)
{
	(void)ssl;
	buf_add_str(key_log, line);
	buf_addc(key_log, '\n');
}

/* ---- turns ---- */

static void say(struct talk *talk, enum gen_side from, const char *text)
{
	buf_add_str(talk_turn(talk, from), text);
}

static void say_starttls(struct talk *talk, enum mail_protocol protocol)
{
	static const char *const lines[MAIL_PROTOCOLS][5] = {
		[MAIL_SMTP] = {"220 hi\r\n", "EHLO me\r\n", "250-x\r\n250 STARTTLS\r\n",
			"STARTTLS\r\n", "220 go\r\n"},
		[MAIL_LMTP] = {"220 hi\r\n", "LHLO me\r\n", "250-x\r\n250 STARTTLS\r\n",
			"STARTTLS\r\n", "220 go\r\n"},
		[MAIL_IMAP] = {"* OK hi\r\n", "s0 NOOP\r\n", "s0 OK x\r\n", "s1 STARTTLS\r\n",
			"s1 OK go\r\n"},
		[MAIL_POP3] = {"+OK hi\r\n", "CAPA\r\n", "+OK\r\nSTLS\r\n.\r\n", "STLS\r\n",
			"+OK go\r\n"},
	};

	for (int i = 0; i < 5; i++)
		say(talk, i % 2 ? GEN_CLIENT : GEN_SERVER, lines[protocol][i]);
}

/* ---- the two sides ---- */

/* What one has to send goes to the other, and on the wire. */
static bool carry(struct pair *pair, enum gen_side from)
{
	char bytes[16384];
	bool any = false;
	int n;

	while ((n = BIO_read(SSL_get_wbio(pair->ssl[from]), bytes, sizeof(bytes))) > 0) {
		any = true;
		if (pair->out)
			buf_add(talk_turn(pair->out, from), bytes, (size_t)n);
		BIO_write(SSL_get_rbio(pair->ssl[!from]), bytes, n);
	}
	return any;
}

static void shake_hands(struct pair *pair)
{
	bool any = true;

	while (any) {
		SSL_do_handshake(pair->ssl[GEN_CLIENT]);
		any = carry(pair, GEN_CLIENT);
		SSL_do_handshake(pair->ssl[GEN_SERVER]);
		any = carry(pair, GEN_SERVER) || any;
	}
	if (!SSL_is_init_finished(pair->ssl[0]) || !SSL_is_init_finished(pair->ssl[1]))
		abort();
}

static void begin(struct pair *pair, const struct tls_way *way)
{
	for (int side = 0; side < 2; side++) {
		SSL *ssl = pair->ssl[side] = sure(SSL_new(pair->contexts[side]));

		SSL_set_bio(ssl, sure(BIO_new(BIO_s_mem())), sure(BIO_new(BIO_s_mem())));
		SSL_set_min_proto_version(ssl, way->v13 ? TLS1_3_VERSION : TLS1_2_VERSION);
		SSL_set_max_proto_version(ssl, way->v13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	}
	SSL_set_connect_state(pair->ssl[GEN_CLIENT]);
	SSL_set_accept_state(pair->ssl[GEN_SERVER]);
	if (way->v13 ? !SSL_set_ciphersuites(pair->ssl[GEN_CLIENT], way->suites)
		     : !SSL_set_cipher_list(pair->ssl[GEN_CLIENT], way->suites))
		abort();
	if (way->retry && (SSL_set1_groups_list(pair->ssl[GEN_CLIENT], "X25519:P-384") != 1 ||
				  SSL_set1_groups_list(pair->ssl[GEN_SERVER], "P-384") != 1))
		abort();
}

static void end(struct pair *pair)
{
	SSL_free(pair->ssl[0]);
	SSL_free(pair->ssl[1]);
}

static void send_all(struct pair *pair, enum gen_side from, const struct buf *bytes)
{
	char sink[16384];
	size_t done;

	if (bytes->len && SSL_write_ex(pair->ssl[from], bytes->data, bytes->len, &done) != 1)
		abort();
	carry(pair, from);
	while (SSL_read(pair->ssl[!from], sink, sizeof(sink)) > 0)
		;
}

/* An own session first, of which nobody else hears, so that the next can be resumed from it. */
static void learn_session(struct pair *pair, const struct tls_way *way)
{
	struct talk *out = pair->out;
	struct buf hello = {.data = (char *)"x", .len = 1};
	SSL_SESSION *session;

	pair->out = NULL;
	begin(pair, way);
	shake_hands(pair);
	send_all(pair, GEN_SERVER, &hello);
	session = SSL_get1_session(pair->ssl[GEN_CLIENT]);
	SSL_shutdown(pair->ssl[GEN_CLIENT]);
	end(pair);
	pair->out = out;
	begin(pair, way);
	SSL_set_session(pair->ssl[GEN_CLIENT], session);
	SSL_SESSION_free(session);
}

void tls_wrap(const struct talk *in, const struct tls_way *way, struct talk *out, struct buf *keys)
{
	struct pair pair = {.out = out};

	*out = (struct talk){.protocol = in->protocol};
	assert(in->count && in->turns[0].from == GEN_SERVER);
	key_log = keys;
	pair.contexts[GEN_CLIENT] = sure(SSL_CTX_new(TLS_client_method()));
	pair.contexts[GEN_SERVER] = tls_server_context();
	SSL_CTX_set_keylog_callback(pair.contexts[GEN_SERVER], on_key);
	if (!way->bare)
		say_starttls(out, in->protocol);
	if (way->resume)
		learn_session(&pair, way);
	else
		begin(&pair, way);
	shake_hands(&pair);
	for (size_t i = way->bare ? 0 : 1; i < in->count; i++) {
		if (way->rekey && i % 5 == 4)
			SSL_key_update(pair.ssl[in->turns[i].from], SSL_KEY_UPDATE_REQUESTED);
		send_all(&pair, in->turns[i].from, &in->turns[i].bytes);
	}
	end(&pair);
	SSL_CTX_free(pair.contexts[0]);
	SSL_CTX_free(pair.contexts[1]);
}

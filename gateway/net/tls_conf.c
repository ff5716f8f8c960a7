#include "net/tls_conf.h"

#include "config/input.h"

#include <stddef.h>
#include <sys/stat.h>

enum { PATH_MAX_BYTES = 4096 };

/* -- files ------------------------------------------------------------------ */

static enum err parse_file(struct bind *bind, const struct tree *node, void *out)
{
    struct tls_file *file = out;
    struct text path;

    if (node->kind != TREE_SCALAR || node->text.len == 0) {
        notes_error(bind->notes, node->at, "write the path of a PEM file", "expected a file");
        return ERR_CONFIG;
    }
    text_init(&path, PATH_MAX_BYTES);
    input_join(notes_file(bind->notes, node->at.file), node->text, &path);
    file->at = node->at;
    file->path = arena_copy(bind->arena, text_span(&path));
    text_fini(&path);
    return file->path.ptr ? OK : ERR_CONFIG;
}

static const struct shape file_shape = {.kind = SHAPE_CUSTOM,
                                        .size = sizeof(struct tls_file),
                                        .parse = parse_file,
                                        .what = "a PEM file, relative to this one",
                                        .pattern = ".+"};

static void certificate_check(struct bind *bind, const struct tree *node, void *out)
{
    struct tls_certificate_conf *conf = out;

    (void)bind;
    if (node)
        conf->at = node->at;
}

static const struct field certificate_fields[] = {
    {.name = "cert",
     .shape = &file_shape,
     .offset = offsetof(struct tls_certificate_conf, cert),
     .required = true,
     .help = "The certificate and the chain above it (PEM). Its names decide who gets it.",
     .example = "tls/www.pem"},
    {.name = "key",
     .shape = &file_shape,
     .offset = offsetof(struct tls_certificate_conf, key),
     .required = true,
     .help = "Its private key (PEM, without a password).",
     .example = "tls/www.key"},
    {.name = "ocsp",
     .shape = &file_shape,
     .offset = offsetof(struct tls_certificate_conf, ocsp),
     .help =
         "An OCSP response (DER) to be given along with it, as openssl ocsp -respout writes it; "
         "read again when it changes, left out when it is too old.",
     .example = "tls/www.ocsp"},
    {0},
};

static const struct shape certificate_shape = {.kind = SHAPE_STRUCT,
                                               .size = sizeof(struct tls_certificate_conf),
                                               .fields = certificate_fields,
                                               .check = certificate_check,
                                               .title = "certificate"};

static const struct shape certificates_shape = {.kind = SHAPE_LIST,
                                                .size = sizeof(struct items),
                                                .element = &certificate_shape,
                                                .min = 1,
                                                .max = 10000,
                                                .what = "a list of certificates"};

/* -- choices ------------------------------------------------------------------ */

static const struct choice version_choices[] = {
    {"1.2", TLS_CONF_1_2, "TLS 1.2."}, {"1.3", TLS_CONF_1_3, "TLS 1.3."}, {NULL, 0, NULL}};
static const struct shape version_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = version_choices, .what = "1.2 or 1.3"};

static const struct choice mode_choices[] = {
    {"none", TLS_CLIENT_NONE, "None is asked for."},
    {"optional", TLS_CLIENT_OPTIONAL, "Asked for, and checked when there is one."},
    {"require", TLS_CLIENT_REQUIRE, "Without a good one there is no connection."},
    {NULL, 0, NULL}};
static const struct shape mode_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = mode_choices};

static const struct choice mismatch_choices[] = {
    {"auto", TLS_MISMATCH_AUTO, "Refused where certificates of clients are asked for."},
    {"refuse", TLS_MISMATCH_REFUSE, "The answer is 421: the client asks again over another one."},
    {"allow", TLS_MISMATCH_ALLOW, "It is served."},
    {NULL, 0, NULL}};
static const struct shape mismatch_shape = {
    .kind = SHAPE_CHOICE, .size = sizeof(int), .choices = mismatch_choices};

static const struct shape session_shape = {.kind = SHAPE_DURATION,
                                           .size = sizeof(uint64_t),
                                           .min = 1000,
                                           .max = UINT64_C(7) * 24 * 3600 * 1000,
                                           .what = "a duration from 1s to 7d"};

static const struct shape wait_shape = {.kind = SHAPE_DURATION,
                                        .size = sizeof(uint64_t),
                                        .min = 1,
                                        .what = "a duration such as 10s, above 0"};

/* -- listeners ------------------------------------------------------------------ */

static void asking_check(struct bind *bind, const struct tree *node, void *out)
{
    const struct tls_asking_conf *conf = out;

    if (conf->mode != TLS_CLIENT_NONE && conf->ca.path.len == 0) {
        notes_error(bind->notes, node->at, "name the authority's certificates: ca: FILE",
                    "tls.client asks for certificates, but no ca can check them");
    }
    if (conf->mode == TLS_CLIENT_NONE && conf->crl.path.len > 0) {
        notes_warn(bind->notes, conf->crl.at, "write mode: optional, or mode: require",
                   "tls.client.crl does nothing while mode is none");
    }
    if (conf->mode == TLS_CLIENT_NONE && conf->forward) {
        notes_warn(bind->notes, node->at, "write mode: optional, or mode: require",
                   "tls.client.forward does nothing while mode is none");
    }
}

static const struct field asking_fields[] = {
    {.name = "mode",
     .shape = &mode_shape,
     .offset = offsetof(struct tls_asking_conf, mode),
     .preset = "none",
     .help = "Whether clients must show a certificate."},
    {.name = "ca",
     .shape = &file_shape,
     .offset = offsetof(struct tls_asking_conf, ca),
     .help = "Who may have signed them (PEM, several in one file).",
     .example = "tls/clients-ca.pem"},
    {.name = "crl",
     .shape = &file_shape,
     .offset = offsetof(struct tls_asking_conf, crl),
     .help = "What their authorities have revoked (PEM): a list (CRL) of each authority that a "
             "chain leads over, the root as well. Read again when it changes; sessions from before "
             "are not resumed then. Where one is missing or too old, nobody gets in.",
     .example = "tls/clients.crl"},
    {.name = "forward",
     .shape = &shape_bool,
     .offset = offsetof(struct tls_asking_conf, forward),
     .preset = "false",
     .help = "Send the certificate to upstreams as Client-Cert (RFC 9440). Whatever clients send "
             "in that field is always removed."},
    {0},
};

static const struct shape asking_shape = {.kind = SHAPE_STRUCT,
                                          .size = sizeof(struct tls_asking_conf),
                                          .fields = asking_fields,
                                          .check = asking_check,
                                          .title = "tls client"};

static const struct shape small_shape = {
    .kind = SHAPE_SIZE, .size = sizeof(uint64_t), .max = 16777216, .what = "a size up to 16MiB"};

static void warn_of_log(struct bind *bind, const struct tls_file *key_log)
{
    if (key_log->path.len > 0) {
        notes_warn(bind->notes, key_log->at, "take it out when you have seen what you wanted",
                   "tls.key_log writes the secrets of all connections to '%s'", key_log->path.ptr);
    }
}

static void warn_of_keys(struct bind *bind, const struct tls_server_conf *conf)
{
    warn_of_log(bind, &conf->key_log);
    if (conf->early_data && !tls_server_conf_takes_early(conf)) {
        notes_warn(bind->notes, conf->at, "write session_tickets: true, max_version: \"1.3\"",
                   "tls.early_data does nothing without session tickets and TLS 1.3");
    }
    if (!conf->session_tickets && conf->ticket_keys.path.len > 0) {
        notes_warn(bind->notes, conf->ticket_keys.at, "write session_tickets: true",
                   "tls.ticket_keys does nothing while session_tickets is false");
    }
}

static void server_check(struct bind *bind, const struct tree *node, void *out)
{
    struct tls_server_conf *conf = out;

    if (!node)
        return;
    conf->at = node->at;
    conf->is_on = true;
    if (conf->min_version > conf->max_version) {
        notes_error(bind->notes, node->at, "lower min_version or raise max_version",
                    "tls.min_version is above tls.max_version");
    }
    warn_of_keys(bind, conf);
}

#define AT(member) offsetof(struct tls_server_conf, member)

static const struct field server_fields[] = {
    {.name = "certificates",
     .shape = &certificates_shape,
     .offset = AT(certificates),
     .required = true,
     .help = "A client gets the one whose names cover the server it asks for (exact, then "
             "wildcard), else the first. One with an ECDSA key and one with an RSA key for the "
             "same names stand side by side.",
     .example = "[ { cert: tls/www.pem, key: tls/www.key } ]"},
    {.name = "min_version",
     .shape = &version_shape,
     .offset = AT(min_version),
     .preset = "1.2",
     .help = "The oldest version spoken."},
    {.name = "max_version",
     .shape = &version_shape,
     .offset = AT(max_version),
     .preset = "1.3",
     .help = "The newest version spoken."},
    {.name = "ciphers",
     .shape = &shape_text,
     .offset = AT(ciphers),
     .preset = "ECDHE+AESGCM:ECDHE+CHACHA20",
     .help = "For TLS 1.2, as OpenSSL writes them."},
    {.name = "ciphersuites",
     .shape = &shape_text,
     .offset = AT(ciphersuites),
     .help = "For TLS 1.3, as OpenSSL writes them. OpenSSL's own when not given.",
     .example = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"},
    {.name = "groups",
     .shape = &shape_text,
     .offset = AT(groups),
     .preset = "X25519:P-256:P-384",
     .help = "Groups (curves) for the key exchange, the best first."},
    {.name = "client",
     .shape = &asking_shape,
     .offset = AT(client),
     .help = "Certificates of clients.",
     .example = "{ mode: require, ca: tls/clients-ca.pem }"},
    {.name = "host_mismatch",
     .shape = &mismatch_shape,
     .offset = AT(mismatch),
     .preset = "auto",
     .help = "What becomes of a request for a host that another certificate is for than the one "
             "that its connection began with."},
    {.name = "strict_sni",
     .shape = &shape_bool,
     .offset = AT(strict_sni),
     .preset = "false",
     .help = "Refuse clients that ask for a server that no certificate is for, or for none "
             "(unrecognized_name), instead of giving them the first one."},
    {.name = "session_tickets",
     .shape = &shape_bool,
     .offset = AT(session_tickets),
     .preset = "true",
     .help = "Let clients resume a session with less work. Unless ticket_keys names a file, the "
             "keys change every 12 hours and live in memory only."},
    {.name = "session_timeout",
     .shape = &session_shape,
     .offset = AT(session_ms),
     .preset = "2h",
     .help = "How long a session may be resumed. Clients are told."},
    {.name = "ticket_keys",
     .shape = &file_shape,
     .offset = AT(ticket_keys),
     .help = "Keys of session tickets, for several gateways that stand for one: 48 or 80 bytes as "
             "they are (as for nginx), or lines of them in Base64 (as for HAProxy). The first "
             "seals, all are opened. Read again when it changes.",
     .example = "tls/tickets.keys"},
    {.name = "early_data",
     .shape = &shape_bool,
     .offset = AT(early_data),
     .preset = "false",
     .help = "Take requests that resuming clients send before the handshake is over (0-RTT). "
             "Whoever saw them can send them again for some seconds: GET, HEAD and OPTIONS without "
             "content are served, and forwarded with Early-Data: 1, so that an upstream may answer "
             "425; everything else is answered with 425, and comes again by itself (RFC 8470). "
             "Only for services that may be asked twice."},
    {.name = "small_records",
     .shape = &small_shape,
     .offset = AT(small_bytes),
     .preset = "16KiB",
     .help = "So many bytes are sent in records of 4 KiB at first and after a second of silence, "
             "so that a client can read them as they come; then records have 16 KiB. 0: never."},
    {.name = "handshakes",
     .shape = &shape_uint,
     .offset = AT(handshakes),
     .preset = "0",
     .help = "Handshakes at a time, of all workers; further connections wait in the backlog. 0: "
             "no limit."},
    {.name = "key_log",
     .shape = &file_shape,
     .offset = AT(key_log),
     .help = "Debugging only: write the secrets of all connections to this file (SSLKEYLOGFILE), "
             "so that who has it can read what was said. Never leave it on.",
     .example = "/tmp/keys.log"},
    {.name = "handshake_timeout",
     .shape = &wait_shape,
     .offset = AT(handshake_ms),
     .preset = "10s",
     .help = "For the whole handshake."},
    {0},
};

#undef AT

const struct shape tls_server_shape = {.kind = SHAPE_STRUCT,
                                       .size = sizeof(struct tls_server_conf),
                                       .fields = server_fields,
                                       .check = server_check,
                                       .title = "listener tls"};

const char *tls_version_text(int version)
{
    return version == TLS_CONF_1_3 ? "1.3" : "1.2";
}

bool tls_server_conf_takes_early(const struct tls_server_conf *conf)
{
    return conf->early_data && conf->session_tickets && conf->max_version == TLS_CONF_1_3;
}

bool tls_server_conf_is_strict(const struct tls_server_conf *conf)
{
    return conf->is_on &&
           (conf->mismatch == TLS_MISMATCH_REFUSE ||
            (conf->mismatch == TLS_MISMATCH_AUTO && conf->client.mode != TLS_CLIENT_NONE));
}

/* -- upstreams -------------------------------------------------------------------- */

static void client_check(struct bind *bind, const struct tree *node, void *out)
{
    struct tls_client_conf *conf = out;

    if (!node)
        return;
    conf->at = node->at;
    conf->is_written = true;
    if ((conf->cert.path.len == 0) != (conf->key.path.len == 0)) {
        notes_error(bind->notes, node->at, "name both, or neither",
                    "tls.cert and tls.key of an upstream belong together");
    }
    if (conf->min_version > conf->max_version) {
        notes_error(bind->notes, node->at, "lower min_version or raise max_version",
                    "tls.min_version of an upstream is above tls.max_version");
    }
    if (!conf->verify) {
        notes_warn(bind->notes, node->at, "name the authority instead: ca: FILE",
                   "tls.verify is off: anybody on the way can read and change what is sent");
    }
    warn_of_log(bind, &conf->key_log);
}

#define AT(member) offsetof(struct tls_client_conf, member)

static const struct field client_fields[] = {
    {.name = "enabled",
     .shape = &shape_bool,
     .offset = AT(enabled),
     .preset = "true",
     .help = "Whether TLS is spoken; \"tls: true\" is short for it."},
    {.name = "verify",
     .shape = &shape_bool,
     .offset = AT(verify),
     .preset = "true",
     .help = "Check that the certificate is good and that its names cover sni."},
    {.name = "ca",
     .shape = &file_shape,
     .offset = AT(ca),
     .help = "Who may have signed it (PEM). The system's store when not given.",
     .example = "tls/internal-ca.pem"},
    {.name = "sni",
     .shape = &shape_text,
     .offset = AT(sni),
     .help = "The name asked for and checked. The upstream's host when that is a fixed text, else "
             "the name or address of each endpoint, when not given.",
     .example = "orders.internal"},
    {.name = "cert",
     .shape = &file_shape,
     .offset = AT(cert),
     .help = "A certificate to show (PEM), with key.",
     .example = "tls/gateway.pem"},
    {.name = "key",
     .shape = &file_shape,
     .offset = AT(key),
     .help = "Its private key (PEM, without a password).",
     .example = "tls/gateway.key"},
    {.name = "min_version",
     .shape = &version_shape,
     .offset = AT(min_version),
     .preset = "1.2",
     .help = "The oldest version spoken."},
    {.name = "max_version",
     .shape = &version_shape,
     .offset = AT(max_version),
     .preset = "1.3",
     .help = "The newest version spoken."},
    {.name = "ciphers",
     .shape = &shape_text,
     .offset = AT(ciphers),
     .help = "For TLS 1.2, as OpenSSL writes them. OpenSSL's own when not given.",
     .example = "ECDHE+AESGCM:ECDHE+CHACHA20"},
    {.name = "ciphersuites",
     .shape = &shape_text,
     .offset = AT(ciphersuites),
     .help = "For TLS 1.3, as OpenSSL writes them. OpenSSL's own when not given.",
     .example = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"},
    {.name = "groups",
     .shape = &shape_text,
     .offset = AT(groups),
     .help = "Groups (curves) for the key exchange, the best first. OpenSSL's own when not given.",
     .example = "X25519:P-256"},
    {.name = "key_log",
     .shape = &file_shape,
     .offset = AT(key_log),
     .help = "Debugging only: write the secrets of all connections to this file (SSLKEYLOGFILE), "
             "so that who has it can read what was said. Never leave it on.",
     .example = "/tmp/keys.log"},
    {0},
};

#undef AT

const struct shape tls_client_shape = {.kind = SHAPE_STRUCT,
                                       .size = sizeof(struct tls_client_conf),
                                       .fields = client_fields,
                                       .scalar = "enabled",
                                       .check = client_check,
                                       .title = "upstream tls"};

bool tls_client_conf_is_on(const struct tls_client_conf *conf)
{
    return conf->is_written && conf->enabled;
}

/* -- what is on disk ---------------------------------------------------------------- */

static uint64_t mix(uint64_t stamp, uint64_t number)
{
    return (stamp ^ number) * 0x100000001b3ULL;
}

static uint64_t stamp_file(const struct tls_file *file, uint64_t stamp)
{
    struct stat status;

    if (file->path.len == 0)
        return stamp;
    if (stat(file->path.ptr, &status) < 0)
        return mix(stamp, 1);
    stamp = mix(stamp, (uint64_t)status.st_ino);
    stamp = mix(stamp, (uint64_t)status.st_size);
    stamp = mix(stamp, (uint64_t)status.st_mtim.tv_sec);
    return mix(stamp, (uint64_t)status.st_mtim.tv_nsec);
}

uint64_t tls_server_stamp(const struct tls_server_conf *conf, uint64_t stamp)
{
    const struct tls_certificate_conf *certificate = conf->certificates.first;

    if (!conf->is_on)
        return stamp;
    for (size_t i = 0; i < conf->certificates.n; i++) {
        stamp = stamp_file(&certificate[i].cert, stamp);
        stamp = stamp_file(&certificate[i].key, stamp);
        stamp = stamp_file(&certificate[i].ocsp, stamp);
    }
    stamp = stamp_file(&conf->ticket_keys, stamp);
    stamp = stamp_file(&conf->client.crl, stamp);
    return stamp_file(&conf->client.ca, stamp);
}

uint64_t tls_client_stamp(const struct tls_client_conf *conf, uint64_t stamp)
{
    if (!tls_client_conf_is_on(conf))
        return stamp;
    stamp = stamp_file(&conf->ca, stamp);
    stamp = stamp_file(&conf->cert, stamp);
    return stamp_file(&conf->key, stamp);
}

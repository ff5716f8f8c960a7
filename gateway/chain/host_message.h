/*
 * host_message.h - services that are not of the asynchronous kind, for the table in host.c.
 * Private to chain/; what each does is said in abi/sluice_plugin.h.
 */
#ifndef CHAIN_HOST_MESSAGE_H
#define CHAIN_HOST_MESSAGE_H

#include "chain/state.h"

/* -- host_setup.c -- */
void host_conf_error(struct sluice_setup *setup, const char *option, const char *hint,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
void host_conf_warn(struct sluice_setup *setup, const char *option, const char *hint,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
void *host_conf_alloc(struct sluice_setup *setup, size_t bytes);
struct sluice_span host_conf_place(struct sluice_setup *setup);
uint32_t host_workers(struct sluice_setup *setup);
uint32_t host_attribute(struct sluice_setup *setup, struct sluice_span name);
const struct sluice_template *host_template_make(struct sluice_setup *setup, const char *option,
                                                 struct sluice_span text);
struct sluice_span host_target_text(const struct sluice_target *target);

/* -- host_message.c -- */
bool host_field_get(const struct sluice_call *call, enum sluice_side side, struct sluice_span name,
                    struct sluice_span *value);
bool host_field_each(const struct sluice_call *call, enum sluice_side side, size_t *at,
                     struct sluice_pair *line);
bool host_field_set(const struct sluice_call *call, enum sluice_side side, struct sluice_span name,
                    struct sluice_span value);
bool host_field_add(const struct sluice_call *call, enum sluice_side side, struct sluice_span name,
                    struct sluice_span value);
bool host_field_remove(const struct sluice_call *call, enum sluice_side side,
                       struct sluice_span name);
bool host_attribute_get(const struct sluice_call *call, uint32_t attribute,
                        struct sluice_span *value);
bool host_attribute_set(const struct sluice_call *call, uint32_t attribute,
                        struct sluice_span value);
bool host_reply(const struct sluice_call *call, const struct sluice_reply *reply);
bool host_reply_edit(const struct sluice_call *call, const struct sluice_reply *reply);
bool host_reply_get(const struct sluice_call *call, struct sluice_reply *reply);
void host_note(const struct sluice_call *call, struct sluice_span word);
bool host_body_want(const struct sluice_call *call, enum sluice_side side,
                    enum sluice_body_mode mode, uint64_t max_bytes);
bool host_body_replace(const struct sluice_call *call, struct sluice_span data);
void host_log(const struct sluice_call *call, enum sluice_log_level level, const char *message,
              const struct sluice_pair *pairs, size_t n);
bool host_log_enabled(enum sluice_log_level level);
void host_span_attribute(const struct sluice_call *call, struct sluice_span name,
                         struct sluice_span value);
bool host_span_attribute_each(const struct sluice_call *call, size_t *at, struct sluice_pair *pair);
void host_report(const struct sluice_call *call, struct sluice_span json);

#endif /* CHAIN_HOST_MESSAGE_H */

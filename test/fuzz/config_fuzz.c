/*
 * config_fuzz.c - any text as a configuration: parse, bind to the sample, print all notes.
 *
 * Texts that name other files are passed over: what is found must not depend on what lies around.
 */
#include "../unit/config/sample.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct sluice_span yaml = span_make((const char *)bytes, len);
    struct bench bench;
    enum err err;

    if (span_has(yaml, SPAN("file:")) || span_has(yaml, SPAN("include")))
        return 0;
    bench_init(&bench);
    err = bench_parse_bytes(&bench, yaml);
    if (bench.tree) {
        enum err bind_err = shape_bind(&bench.bind, &sample_shape, bench.tree, &bench.sample);

        if ((err || bind_err) != (notes_errors(bench.notes) > 0))
            abort(); /* a result without its reason, or the other way round */
    } else if (!err) {
        abort();
    }
    (void)bench_told(&bench);
    text_reset(&bench.told);
    notes_print_json(bench.notes, &bench.told);
    bench_fini(&bench);
    return 0;
}

/*
 * tls_sign_bench.c - what a handshake's private key costs a worker, and what it would cost to have
 * a helper do it: a signature with each kind of key, and a job handed over and taken back.
 *
 * The figures behind decisions/0022. Started by "make bench-parts".
 */
#include "base/check.h"
#include "core/helpers.h"
#include "core/loop.h"
#include "core/mailbox.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <stdio.h>
#include <time.h>

enum { SIGNATURES = 400, JOBS = 4000, PLACES = 512 };

/* By one of the system's clocks; a signature counts what this thread has worked. */
static double read_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* -- signatures ------------------------------------------------------------------ */

static void sign(EVP_PKEY *key, bool pss)
{
    static const unsigned char transcript[130]; /* what TLS 1.3 signs is about as long */
    unsigned char signature[PLACES];
    size_t len = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how;

    CHECK(context && EVP_DigestSignInit(context, &how, EVP_sha256(), NULL, key) == 1);
    if (pss)
        CHECK(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1);
    CHECK(EVP_DigestSign(context, signature, &len, transcript, sizeof(transcript)) == 1);
    EVP_MD_CTX_free(context);
}

static double measure_key(const char *name, EVP_PKEY *key, bool pss)
{
    double begun, us;

    CHECK(key != NULL);
    for (int i = 0; i < SIGNATURES / 10; i++) {
        sign(key, pss);
    }
    begun = read_us(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < SIGNATURES; i++) {
        sign(key, pss);
    }
    us = (read_us(CLOCK_THREAD_CPUTIME_ID) - begun) / SIGNATURES;
    printf("signature, %-12s %8.1f us\n", name, us);
    EVP_PKEY_free(key);
    return us;
}

/* -- handing over ------------------------------------------------------------------ */

struct scene {
    struct loop *loop;
    struct helpers *helpers;
    struct mailbox *mailbox;
    struct helpers_job job;
    int left;
};

static struct scene scene;

static void run(struct helpers_job *job)
{
    (void)job;
}

static void over(void *owner, struct letter *letter);

static void submit(void)
{
    scene.job = (struct helpers_job){.over = over, .run = run, .home = scene.mailbox};
    CHECK(helpers_submit(scene.helpers, &scene.job) == OK);
}

static void over(void *owner, struct letter *letter)
{
    (void)owner;
    (void)letter;
    if (--scene.left == 0) {
        loop_stop(scene.loop);
    } else {
        submit();
    }
}

/* One after the other, as when nothing else is going on: the worst for a single handshake. */
static double measure_helpers(void)
{
    double begun, us;

    scene.loop = loop_new();
    CHECK(mailbox_new(&scene.mailbox, scene.loop, NULL) == OK);
    scene.helpers = helpers_new();
    CHECK(helpers_set(scene.helpers, 1, PLACES) == OK);
    scene.left = JOBS;
    begun = read_us(CLOCK_MONOTONIC);
    submit();
    loop_run(scene.loop);
    us = (read_us(CLOCK_MONOTONIC) - begun) / JOBS;
    printf("a job, there and back   %8.1f us\n", us);
    helpers_free(&scene.helpers);
    mailbox_free(&scene.mailbox);
    loop_free(&scene.loop);
    return us;
}

int main(void)
{
    double ec = measure_key("P-256", EVP_EC_gen("P-256"), false);
    double rsa = measure_key("RSA-2048", EVP_RSA_gen(2048), true);
    double job;

    measure_key("RSA-4096", EVP_RSA_gen(4096), true);
    job = measure_helpers();
    printf("signature for job: P-256 %.1f, RSA-2048 %.1f\n", ec / job, rsa / job);
    return 0;
}

#include "base/err.h"

#include "unit.h"

#include <errno.h>

START_TEST(err_text_names_every_error)
{
    ck_assert_str_eq(err_text(OK), "ok");
    ck_assert_str_eq(err_text(ERR_AGAIN), "not ready yet");
    ck_assert_str_eq(err_text(ERR_MISSING), "not there");
    ck_assert_str_eq(err_text((enum err) - 99), "unknown error");
}
END_TEST

START_TEST(err_from_errno_sorts_what_sockets_say)
{
    ck_assert_int_eq(err_from_errno(EAGAIN), ERR_AGAIN);
    ck_assert_int_eq(err_from_errno(EINPROGRESS), ERR_AGAIN);
    ck_assert_int_eq(err_from_errno(EINTR), ERR_AGAIN);
    ck_assert_int_eq(err_from_errno(EPIPE), ERR_CLOSED);
    ck_assert_int_eq(err_from_errno(ECONNRESET), ERR_RESET);
    ck_assert_int_eq(err_from_errno(ECONNREFUSED), ERR_REFUSED);
    ck_assert_int_eq(err_from_errno(ETIMEDOUT), ERR_TIMEOUT);
    ck_assert_int_eq(err_from_errno(EHOSTUNREACH), ERR_UNREACHABLE);
    ck_assert_int_eq(err_from_errno(EMFILE), ERR_LIMIT);
    ck_assert_int_eq(err_from_errno(ENOMEM), ERR_MEMORY);
    ck_assert_int_eq(err_from_errno(ENOENT), ERR_MISSING);
}
END_TEST

START_TEST(err_from_errno_is_never_ok)
{
    for (int number = 0; number < 200; number++)
        ck_assert_int_lt(err_from_errno(number), OK);
    ck_assert_int_eq(err_from_errno(EBADF), ERR_SYSTEM);
}
END_TEST

UNIT_MAIN("base/err", err_text_names_every_error, err_from_errno_sorts_what_sockets_say,
          err_from_errno_is_never_ok)

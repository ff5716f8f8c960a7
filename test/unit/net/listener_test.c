#include "net/listener.h"

#include "core/loop.h"

#include "unit.h"
#include "until.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { CLIENTS = 200 };

struct door {
    struct loop *loop;
    struct listener *listener;
    struct addr addr;
    unsigned accepted, shed, room;
    int fd[CLIENTS];
    struct addr peer;
};

static void on_accept(void *door_, int fd, const struct addr *peer)
{
    struct door *door = door_;

    ck_assert_uint_lt(door->accepted, CLIENTS);
    door->peer = *peer;
    door->fd[door->accepted++] = fd;
    if (door->room > 0)
        door->room--;
}

static bool may_accept(void *door)
{
    return ((struct door *)door)->room > 0;
}

static void on_shed(void *door, unsigned n)
{
    ((struct door *)door)->shed += n;
}

static const struct listener_ops ops = {on_accept, may_accept, on_shed};

static struct addr loopback(void)
{
    return (struct addr){.family = AF_INET, .ip = {127, 0, 0, 1}};
}

static void door_open(struct door *door, struct addr addr)
{
    int fd;

    *door = (struct door){.loop = loop_new(), .room = CLIENTS};
    ck_assert_int_eq(listener_bind(&addr, 512, false, &fd), OK);
    ck_assert_int_eq(listener_address(fd, &addr, &door->addr), OK);
    door->listener = listener_new(door->loop, fd, &ops, door);
}

static void door_close(struct door *door)
{
    listener_free(&door->listener);
    ck_assert_ptr_null(door->listener);
    for (unsigned i = 0; i < door->accepted; i++) {
        close(door->fd[i]);
    }
    loop_free(&door->loop);
}

static int knock(const struct addr *addr)
{
    struct sockaddr_storage storage;
    struct sockaddr *sockaddr = (struct sockaddr *)&storage;
    socklen_t len = addr_to_sockaddr(addr, sockaddr);
    int fd = socket(addr->family, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, sockaddr, len), 0);
    return fd;
}

static bool has_accepted(void *door)
{
    return ((struct door *)door)->accepted > 0;
}

START_TEST(a_connection_comes_in_ready_for_use)
{
    struct door door;
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    int client, value = 0;
    socklen_t value_len = sizeof(value);

    door_open(&door, loopback());
    ck_assert_uint_ne(door.addr.port, 0);
    client = knock(&door.addr);
    loop_until(door.loop, has_accepted, &door);
    ck_assert_int_eq(getsockname(client, (struct sockaddr *)&own, &len), 0);
    ck_assert_uint_eq(door.peer.port, ntohs(own.sin_port));
    ck_assert(fcntl(door.fd[0], F_GETFL) & O_NONBLOCK);
    ck_assert(fcntl(door.fd[0], F_GETFD) & FD_CLOEXEC);
    ck_assert_int_eq(getsockopt(door.fd[0], IPPROTO_TCP, TCP_NODELAY, &value, &value_len), 0);
    ck_assert_int_ne(value, 0);
    close(client);
    door_close(&door);
}
END_TEST

static bool has_150(void *door)
{
    return ((struct door *)door)->accepted == 150;
}

START_TEST(more_than_a_batch_is_accepted)
{
    struct door door;
    int client[150];

    door_open(&door, loopback());
    for (unsigned i = 0; i < 150; i++) {
        client[i] = knock(&door.addr);
    }
    loop_until(door.loop, has_150, &door);
    for (unsigned i = 0; i < 150; i++) {
        close(client[i]);
    }
    door_close(&door);
}
END_TEST

static bool is_full(void *door)
{
    return ((struct door *)door)->room == 0;
}

static bool has_three(void *door)
{
    return ((struct door *)door)->accepted == 3;
}

START_TEST(a_full_owner_is_not_given_more_until_there_is_room)
{
    struct door door;
    int client[3];

    door_open(&door, loopback());
    door.room = 1;
    for (unsigned i = 0; i < 3; i++) {
        client[i] = knock(&door.addr);
    }
    loop_until(door.loop, is_full, &door);
    loop_turns(door.loop, 20);
    ck_assert_uint_eq(door.accepted, 1);
    door.room = 2;
    listener_resume(door.listener);
    loop_until(door.loop, has_three, &door);
    for (unsigned i = 0; i < 3; i++) {
        close(client[i]);
    }
    door_close(&door);
}
END_TEST

START_TEST(a_full_owner_is_asked_again_by_itself)
{
    struct door door;
    int client[3];

    door_open(&door, loopback());
    door.room = 1;
    for (unsigned i = 0; i < 3; i++) {
        client[i] = knock(&door.addr);
    }
    loop_until(door.loop, is_full, &door);
    loop_turns(door.loop, 3);
    door.room = 2;
    loop_until(door.loop, has_three, &door);
    for (unsigned i = 0; i < 3; i++) {
        close(client[i]);
    }
    door_close(&door);
}
END_TEST

static bool has_shed(void *door)
{
    return ((struct door *)door)->shed > 0;
}

/* Clients see an end instead of a hang, and it goes on when there are descriptors again. */
START_TEST(without_descriptors_clients_are_turned_away)
{
    struct rlimit limit, low;
    struct door door;
    int client[2];
    char byte;

    door_open(&door, loopback());
    client[0] = knock(&door.addr);
    client[1] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = (rlim_t)client[1] + 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    loop_until(door.loop, has_shed, &door);
    ck_assert_uint_eq(door.accepted, 0);
    ck_assert_int_eq(recv(client[0], &byte, 1, 0), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(client[0]);
    client[0] = knock(&door.addr);
    loop_until(door.loop, has_accepted, &door);
    close(client[0]);
    close(client[1]);
    door_close(&door);
}
END_TEST

START_TEST(what_is_queued_is_accepted_before_the_end)
{
    struct door door;
    int client[5];

    door_open(&door, loopback());
    for (unsigned i = 0; i < 5; i++) {
        client[i] = knock(&door.addr);
    }
    listener_free(&door.listener);
    ck_assert_uint_eq(door.accepted, 5);
    for (unsigned i = 0; i < 5; i++) {
        close(client[i]);
    }
    door_close(&door);
}
END_TEST

START_TEST(an_address_in_use_is_refused_unless_shared)
{
    struct addr addr = loopback();
    int first, second;

    ck_assert_int_eq(listener_bind(&addr, 8, true, &first), OK);
    ck_assert_int_eq(listener_address(first, &addr, &addr), OK);
    errno = 0;
    ck_assert_int_eq(listener_bind(&addr, 8, false, &second), ERR_SYSTEM);
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_int_eq(listener_bind(&addr, 8, true, &second), OK);
    close(first);
    close(second);
}
END_TEST

START_TEST(a_stale_unix_socket_is_replaced_and_a_live_one_is_not)
{
    char path[64];
    struct addr addr = {.family = AF_UNIX, .path = path};
    struct addr told;
    int first, second;

    snprintf(path, sizeof(path), "/tmp/sluice-test-%ld.sock", (long)getpid());
    ck_assert_int_eq(listener_bind(&addr, 8, false, &first), OK);
    ck_assert_int_eq(listener_address(first, &addr, &told), OK);
    ck_assert_str_eq(told.path, path);
    ck_assert_int_eq(listener_bind(&addr, 8, false, &second), ERR_SYSTEM);
    close(first);
    ck_assert_int_eq(listener_bind(&addr, 8, false, &first), OK);
    close(first);
    unlink(path);
}
END_TEST

START_TEST(a_file_that_is_no_socket_is_left_alone)
{
    char path[] = "/tmp/sluice-test-XXXXXX";
    struct addr addr = {.family = AF_UNIX, .path = path};
    struct stat status;
    int file = mkstemp(path);
    int fd;

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(listener_bind(&addr, 8, false, &fd), ERR_SYSTEM);
    ck_assert_int_eq(stat(path, &status), 0);
    close(file);
    unlink(path);
}
END_TEST

START_TEST(free_accepts_null)
{
    struct listener *listener = NULL;

    listener_free(&listener);
    ck_assert_ptr_null(listener);
}
END_TEST

UNIT_MAIN("net/listener", a_connection_comes_in_ready_for_use, more_than_a_batch_is_accepted,
          a_full_owner_is_not_given_more_until_there_is_room, a_full_owner_is_asked_again_by_itself,
          without_descriptors_clients_are_turned_away, what_is_queued_is_accepted_before_the_end,
          an_address_in_use_is_refused_unless_shared,
          a_stale_unix_socket_is_replaced_and_a_live_one_is_not,
          a_file_that_is_no_socket_is_left_alone, free_accepts_null)

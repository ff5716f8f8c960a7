/*
 * conn_traffic.c - what the kernel counts of a connection, so that we need not.
 *
 * Apart from conn.c: the kernel's own header has the newer members, and no peace with libc's.
 */
#include "net/conn.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <stddef.h>

bool conn_traffic(const struct conn *conn, struct conn_traffic *traffic)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    *traffic = (struct conn_traffic){0};
    if (getsockopt(conn_fd(conn), IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof(info.tcpi_bytes_retrans))
        return false;
    traffic->bytes_in = info.tcpi_bytes_received;
    traffic->bytes_out = info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
    traffic->rtt_us = info.tcpi_rtt;
    traffic->quiet_ms = info.tcpi_last_data_sent < info.tcpi_last_data_recv
                            ? info.tcpi_last_data_sent
                            : info.tcpi_last_data_recv;
    return true;
}

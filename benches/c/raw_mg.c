/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What GetUniVar is compared with: the plainest possible `mg` round trip. One connected socket,
 * one write, one blocking read; no parsing beyond "it ended with a line feed".
 *
 *     raw_mg ADDRESS PORT KEY
 *
 * Reads counts from stdin, one a line; for each it does that many round trips and prints the
 * nanoseconds that they took.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = { .sin_family = AF_INET };
	char request[300], reply[65536];
	struct timespec from, to;
	long count;
	int request_bytes, sock, one = 1;

	if (argc != 4) {
		fprintf(stderr, "usage: %s ADDRESS PORT KEY\n", argv[0]);
		return 2;
	}
	server.sin_port = htons(atoi(argv[2]));
	if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
		fail(argv[1]);
	request_bytes = snprintf(request, sizeof(request), "mg %s v\r\n", argv[3]);

	sock = socket(AF_INET, SOCK_STREAM, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *) &server, sizeof(server)))
		fail("connect");
	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

	while (scanf("%ld", &count) == 1) {
		/* The kernel ends us if memcached falls silent; a time limit on the socket would cost time. */
		alarm(60);
		clock_gettime(CLOCK_MONOTONIC, &from);
		for (long i = 0; i < count; i++) {
			ssize_t bytes;
			if (write(sock, request, request_bytes) != request_bytes)
				fail("write");
			bytes = read(sock, reply, sizeof(reply));
			if (bytes < 3 || reply[bytes - 1] != '\n' || reply[0] != 'V')
				fail("read");
		}
		clock_gettime(CLOCK_MONOTONIC, &to);
		printf("%lld\n", (to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec));
		fflush(stdout);
	}
	return 0;
}

/* Types of every kind, and a variable of each whose bytes clang itself laid out. */
#include <stdint.h>
#include <stdbool.h>
#include <netinet/in.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

enum color { RED, GREEN = 7, BLUE = 0x7fffffff };
enum sign { MINUS = -1, PLUS = 1 };
enum wide { SMALL = 1, LARGE = 0x100000000ULL };

struct point {
	__u8 x;
	__s32 y; /* three bytes of padding before it */
};

struct flow {
	__be32 saddr;
	__be16 sport;
	__u8 mac[ETH_ALEN];
	unsigned int low : 3, high : 13, : 4;
	int negative : 5;
	struct in6_addr six;
	char name[16];
	enum color color;
	struct point points[2];
	union {
		__u32 number;
		__u8 octets[4];
	};
	_Bool is_open;
	void *pointer;
};

struct counter {
	__u64 packets;
};

typedef struct {
	__u16 id;
	enum sign sign;
	enum wide wide;
} unnamed_t;

struct sockaddr_in socket_address = {
	.sin_family = 2, .sin_port = bpf_htons(443), .sin_addr = {bpf_htonl(0x0a000001)}};

struct flow sample = {
	.saddr = bpf_htonl(0x0a000042),
	.sport = bpf_htons(8080),
	.mac = {2, 0, 0, 0, 0, 1},
	.low = 5,
	.high = 1000,
	.negative = -3,
	.six = {.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}},
	.name = "eth0",
	.color = GREEN,
	.points = {{1, -2}, {3, -4}},
	.number = 0x01020304,
	.is_open = true,
};
unnamed_t odd = {.id = 9, .sign = MINUS, .wide = LARGE};
struct counter counters[2] = {{1}, {2}};
__s64 signed_number = -5;
double weight = 0.5;
char matrix[2][4] = {"ab", "cd"};
__u64 seen;
static volatile int hidden;
volatile const __u32 limit = 5;

SEC("xdp")
int entry(struct xdp_md *ctx)
{
	(void)ctx;
	seen += limit;
	hidden++;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";

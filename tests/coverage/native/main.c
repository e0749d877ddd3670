/*
 * Runs xdp_http natively. Frames come on the standard input, a u32 length before each; the verdict
 * and the frame afterwards go to the standard output, and behind the last the sections in which
 * clang counts, each with its address and size.
 */
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { ROOM = 1 << 16, PATH = 64, REASONS = 16 };

int xdp_http(struct xdp_md *ctx);
extern char reasons;
extern char __start___llvm_prf_data[], __stop___llvm_prf_data[];
extern char __start___llvm_prf_cnts[], __stop___llvm_prf_cnts[];
extern char __start___llvm_prf_bits[] __attribute__((weak));
extern char __stop___llvm_prf_bits[] __attribute__((weak));

static char paths[3][PATH] = { "/", "/index.html" };
static uint64_t counts[REASONS];

void *native_lookup(const void *map, const void *key)
{
	if (map == &reasons)
		return &counts[*(const uint32_t *)key];
	for (int i = 0; i < 3; i++)
		if (!memcmp(paths[i], key, PATH))
			return paths[i];
	return NULL;
}

static void tell(const char *start, const char *stop)
{
	uint64_t head[2] = { (uint64_t)start, (uint64_t)(stop - start) };

	fwrite(head, sizeof(head), 1, stdout);
	fwrite(start, 1, head[1], stdout);
}

int main(void)
{
	/* struct xdp_md holds addresses of 32 bits. */
	uint8_t *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	uint32_t size;

	if (room == MAP_FAILED)
		return 1;
	memset(paths[2], 'x', PATH);
	paths[2][0] = '/';
	while (fread(&size, sizeof(size), 1, stdin) == 1) {
		struct xdp_md ctx = { (uint32_t)(uintptr_t)room, (uint32_t)(uintptr_t)room + size };
		uint32_t verdict;

		if (size > ROOM || fread(room, 1, size, stdin) != size)
			return 1;
		verdict = xdp_http(&ctx);
		fwrite(&verdict, sizeof(verdict), 1, stdout);
		fwrite(room, 1, size, stdout);
	}
	tell(__start___llvm_prf_data, __stop___llvm_prf_data);
	tell(__start___llvm_prf_cnts, __stop___llvm_prf_cnts);
	tell(__start___llvm_prf_bits, __stop___llvm_prf_bits);
	return fflush(stdout) ? 1 : 0;
}

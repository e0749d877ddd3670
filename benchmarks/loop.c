// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The least that BPF_PROG_TEST_RUN can cost from user space: the system call in a loop, with the
 * packet handed in and the result copied out, and nothing done with either. run.py builds it with
 * the system's compiler and holds packetrig's own calls against it, in the same process, on the
 * same program.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns 0, or the errno of the first call that failed. */
int packetrig_bench_loop(int program_fd, const void *frame, uint32_t size, uint64_t count)
{
	static unsigned char out[4096];

	for (uint64_t i = 0; i < count; i++) {
		union bpf_attr attr;

		memset(&attr, 0, sizeof(attr));
		attr.test.prog_fd = program_fd;
		attr.test.data_in = (uint64_t)(uintptr_t)frame;
		attr.test.data_size_in = size;
		attr.test.data_out = (uint64_t)(uintptr_t)out;
		attr.test.data_size_out = sizeof(out);
		attr.test.repeat = 1;
		if (syscall(__NR_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr.test)) < 0)
			return errno;
	}
	return 0;
}

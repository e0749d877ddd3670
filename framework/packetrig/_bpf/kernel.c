// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What packetrig asks of the kernel and what libbpf does not offer: one BPF_PROG_TEST_RUN whose
 * attr is made anew for each call, a loop of it over many frames, whole-map dumps, libbpf's
 * messages kept in a buffer, and network namespaces that have no name.
 *
 * Errors come back as -errno. Nothing here allocates behind the caller's back, except `pr_batch`
 * (freed by pr_batch_free) and the message buffer.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Our own copy of the test member of union bpf_attr: the size that is sent is the size that is
 * needed (a kernel refuses a longer attr whose tail is not zero with E2BIG), and headers older
 * than the running kernel do not matter.
 */
struct test_attr {
	uint32_t prog_fd, retval, data_size_in, data_size_out;
	uint64_t data_in, data_out;
	uint32_t repeat, duration, ctx_size_in, ctx_size_out;
	uint64_t ctx_in, ctx_out;
	uint32_t flags, cpu, batch_size, pad;
};

struct pr_runner {
	int prog_fd;
	int netns_fd; /* run in this network namespace; -1: in the caller's */
	uint32_t repeat;
	uint32_t flags;
	uint32_t batch_size;
	uint32_t ctx_in_size; /* 0: no context is given */
	uint32_t ctx_out_size; /* 0: none is asked for */
	uint32_t out_capacity;
	uint8_t ctx_in[512];
	uint8_t *out;
	/* what came back */
	uint32_t retval;
	uint32_t out_size;
	uint32_t duration;
	uint32_t ctx_size;
	uint8_t ctx_out[512];
};

struct pr_batch {
	uint32_t *retvals;
	uint32_t *durations;
	uint64_t *ends; /* frame i's output is data[ends[i-1] .. ends[i]) */
	uint8_t *contexts; /* context_size bytes a frame */
	uint32_t context_size;
	uint8_t *data;
	uint64_t capacity;
	uint64_t used;
	int64_t done; /* frames that the kernel ran */
};

static int home_netns(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* The way back from a foreign namespace must not fail in silence: everything after would lie. */
static int leave_netns(int home)
{
	int error = setns(home, CLONE_NEWNET) ? -errno : 0;

	close(home);
	return error;
}

static void block_signals(sigset_t *old)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
}

/*
 * data_size_out is set for each call: the kernel writes it back, and a reused attr makes every
 * larger packet fail with ENOSPC. It is never 0 with a buffer: that means "copy without bound".
 */
static int test_run(struct pr_runner *r, const void *frame, uint32_t size, uint8_t *out,
		    uint32_t capacity)
{
	struct test_attr attr = {
		.prog_fd = (uint32_t)r->prog_fd,
		.data_size_in = size,
		.data_in = (uint64_t)(uintptr_t)frame,
		.data_size_out = capacity,
		.data_out = capacity ? (uint64_t)(uintptr_t)out : 0,
		.repeat = r->repeat,
		.flags = r->flags,
		.batch_size = r->batch_size,
	};

	if (r->ctx_in_size) {
		attr.ctx_in = (uint64_t)(uintptr_t)r->ctx_in;
		attr.ctx_size_in = r->ctx_in_size;
	}
	if (r->ctx_out_size) {
		attr.ctx_out = (uint64_t)(uintptr_t)r->ctx_out;
		attr.ctx_size_out = r->ctx_out_size;
	}
	if (syscall(__NR_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)) < 0) {
		r->out_size = attr.data_size_out;
		return -errno;
	}
	r->retval = attr.retval;
	r->out_size = attr.data_size_out;
	r->duration = attr.duration;
	r->ctx_size = attr.ctx_size_out;
	return 0;
}

/*
 * Runs one frame. Signals are held back where they could end the run half way: a pending one
 * makes the kernel stop a repeated run with EINTR and no verdict.
 * Linux 607b9cc92bd7 ("bpf: Consolidate shared test timing code") (v5.18) made a single run immune.
 */
static int pr_run(struct pr_runner *r, const void *frame, uint32_t size)
{
	sigset_t old;
	int home = -1, error, back = 0;

	if (r->netns_fd < 0 && r->repeat <= 1)
		return test_run(r, frame, size, r->out, r->out_capacity);
	if (r->netns_fd >= 0) {
		home = home_netns();
		if (home < 0)
			return -errno;
	}
	block_signals(&old);
	error = r->netns_fd >= 0 && setns(r->netns_fd, CLONE_NEWNET) ? -errno : 0;
	if (!error)
		error = test_run(r, frame, size, r->out, r->out_capacity);
	if (home >= 0)
		back = leave_netns(home);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return back ? back : error;
}

static void pr_batch_free(struct pr_batch *b)
{
	if (!b)
		return;
	free(b->retvals);
	free(b->durations);
	free(b->ends);
	free(b->contexts);
	free(b->data);
	free(b);
}

static struct pr_batch *pr_batch_new(uint64_t count, uint64_t capacity, uint32_t context_size)
{
	struct pr_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->retvals = malloc(count * sizeof(*b->retvals) + 1);
	b->durations = malloc(count * sizeof(*b->durations) + 1);
	b->ends = malloc(count * sizeof(*b->ends) + 1);
	b->contexts = malloc(count * context_size + 1);
	b->context_size = context_size;
	b->data = malloc(capacity);
	b->capacity = capacity;
	if (b->retvals && b->durations && b->ends && b->contexts && b->data)
		return b;
	pr_batch_free(b);
	return NULL;
}

/* A run may need the whole of r->out_capacity; what it did not need is given to the next. */
static int make_room(struct pr_batch *b, uint32_t room)
{
	uint64_t capacity = b->capacity;
	uint8_t *data;

	if (b->capacity - b->used >= room)
		return 0;
	capacity = capacity * 2 + room;
	data = realloc(b->data, capacity);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->capacity = capacity;
	return 0;
}

/*
 * The length of an XDP context's linear part goes into ctx.data_end: left at zero, newer kernels
 * run the program on an empty linear area, and it passes everything.
 */
static void fit_xdp_context(struct pr_runner *r, uint32_t size, uint32_t linear)
{
	uint32_t end = size < linear ? size : linear;

	memcpy(r->ctx_in + 4, &end, sizeof(end));
}

/*
 * Runs frames first .. count-1, which lie one behind the other in `frames`, and stops before the
 * first whose size is out of [least, most]: the caller names the reason. `linear` is not 0 where
 * an XDP context is given. Returns 0, or -errno for frame b->done; a refused size is -EDOM.
 */
static int pr_run_many(struct pr_runner *r, struct pr_batch *b, const uint8_t *frames,
		       const uint32_t *sizes, uint64_t first, uint64_t count, uint32_t least,
		       uint32_t most, uint32_t linear)
{
	sigset_t old;
	int home = -1, error = 0, back = 0;
	uint64_t at = 0;

	if (r->netns_fd >= 0) {
		home = home_netns();
		if (home < 0)
			return -errno;
	}
	block_signals(&old);
	if (r->netns_fd >= 0 && setns(r->netns_fd, CLONE_NEWNET))
		error = -errno;
	for (uint64_t i = first; !error && i < count; i++) {
		if (sizes[i] < least || sizes[i] > most) {
			error = -EDOM;
			break;
		}
		error = make_room(b, r->out_capacity);
		if (error)
			break;
		if (linear)
			fit_xdp_context(r, sizes[i], linear);
		error = test_run(r, frames + at, sizes[i], b->data + b->used, r->out_capacity);
		if (error)
			break;
		at += sizes[i];
		b->used += r->out_size;
		b->ends[i] = b->used;
		b->retvals[i] = r->retval;
		b->durations[i] = r->duration;
		if (b->context_size)
			memcpy(b->contexts + i * b->context_size, r->ctx_out, b->context_size);
		b->done = (int64_t)i + 1;
	}
	if (home >= 0)
		back = leave_netns(home);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return back ? back : error;
}

/*
 * Writes key, value, key, value ... into `out`, which has one key's room more than `room` pairs;
 * returns how many pairs, -ENOSPC if there are more. Keys without a value (the empty slots of a
 * program array) are left out.
 */
static int64_t pr_map_dump(int fd, uint32_t key_size, uint32_t value_size, uint64_t room,
			   uint8_t *out)
{
	uint8_t previous[512];
	bool first = true;
	uint64_t n = 0;
	int error;

	if (key_size > sizeof(previous))
		return -E2BIG;
	for (;;) {
		uint8_t *key = out + n * ((uint64_t)key_size + value_size);

		error = bpf_map_get_next_key(fd, first ? NULL : previous, key);
		if (error == -ENOENT)
			return (int64_t)n;
		if (error)
			return error;
		if (n == room)
			return -ENOSPC;
		memcpy(previous, key, key_size);
		first = false;
		error = bpf_map_lookup_elem(fd, key, key + key_size);
		if (error && error != -ENOENT)
			return error;
		n += !error;
	}
}

/*
 * Writes the values of an array into `out`, in order. Batches came with Linux 5.6, those of per-CPU
 * arrays later; without them it is one look-up an entry.
 */
static int pr_array_read(int fd, uint32_t count, uint32_t value_size, uint8_t *out)
{
	uint32_t *keys = malloc((uint64_t)count * sizeof(*keys) + 1);
	uint32_t next = 0, got = count;
	int error;

	if (!keys)
		return -ENOMEM;
	error = bpf_map_lookup_batch(fd, NULL, &next, keys, out, &got, NULL);
	free(keys);
	if ((!error || error == -ENOENT) && got == count)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		error = bpf_map_lookup_elem(fd, &i, out + (uint64_t)i * value_size);
		if (error)
			return error;
	}
	return 0;
}

static int pr_array_clear(int fd, uint32_t count, uint32_t value_size)
{
	uint8_t *zero = calloc(1, value_size);
	int error = zero ? 0 : -ENOMEM;

	for (uint32_t i = 0; !error && i < count; i++)
		error = bpf_map_update_elem(fd, &i, zero, BPF_ANY);
	free(zero);
	return error;
}

static int pr_map_clear(int fd, uint32_t key_size)
{
	uint8_t key[512];
	int error;

	if (key_size > sizeof(key))
		return -E2BIG;
	while (!(error = bpf_map_get_next_key(fd, NULL, key))) {
		error = bpf_map_delete_elem(fd, key);
		if (error && error != -ENOENT)
			return error;
	}
	return error == -ENOENT ? 0 : error;
}

/* libbpf's messages: a growing buffer per thread, taken and emptied by pr_messages_take(). */
static __thread char *messages;
static __thread size_t messages_used, messages_room;

static int keep_message(enum libbpf_print_level level, const char *format, va_list args)
{
	va_list again;
	int n;

	if (level == LIBBPF_DEBUG)
		return 0;
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0)
		return n;
	if (messages_used + (size_t)n + 1 > messages_room) {
		size_t room = (messages_used + (size_t)n + 1) * 2;
		char *grown = realloc(messages, room);

		if (!grown)
			return -ENOMEM;
		messages = grown;
		messages_room = room;
	}
	vsnprintf(messages + messages_used, (size_t)n + 1, format, args);
	messages_used += (size_t)n;
	return n;
}

static const char *pr_messages(void)
{
	return messages_used ? messages : "";
}

static void pr_messages_clear(void)
{
	messages_used = 0;
}

static void pr_init(void)
{
	libbpf_set_print(keep_message);
}

/*
 * No log buffer is given: libbpf loads without one first, and only when the kernel refuses asks
 * again, into a buffer that it makes as large as the log, and hands that over as a message.
 */
static struct bpf_object *pr_object_open(const void *elf, size_t size, const char *name)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name, .relaxed_maps = true);

	return bpf_object__open_mem(elf, size, &options);
}

#define PR_FORMAT_LOST (1U << 4) /* PERF_FORMAT_LOST, which is younger than some headers */

/* Ring buffers and perf buffers hand over records one by one: [u32 cpu][u32 size][bytes] ... */
struct pr_records {
	uint8_t *data;
	size_t used;
	size_t room;
	uint64_t lost;
	bool counts_lost;
	struct ring_buffer *ring;
	struct perf_buffer *perf;
};

static int keep_record(struct pr_records *r, uint32_t cpu, const void *data, uint32_t size)
{
	size_t need = r->used + 8 + size;

	if (need > r->room) {
		uint8_t *grown = realloc(r->data, need * 2);

		if (!grown)
			return -ENOMEM;
		r->data = grown;
		r->room = need * 2;
	}
	memcpy(r->data + r->used, &cpu, 4);
	memcpy(r->data + r->used + 4, &size, 4);
	memcpy(r->data + r->used + 8, data, size);
	r->used = need;
	return 0;
}

static int on_ring(void *ctx, void *data, size_t size)
{
	return keep_record(ctx, 0, data, (uint32_t)size);
}

static void on_perf(void *ctx, int cpu, void *data, __u32 size)
{
	keep_record(ctx, (uint32_t)cpu, data, size);
}

static void on_lost(void *ctx, int cpu, __u64 count)
{
	(void)cpu;
	((struct pr_records *)ctx)->lost += count;
}

/* As libbpf reads a perf buffer, but lost records are counted by the kernel: see read_lost. */
static enum bpf_perf_event_ret on_perf_event(void *ctx, int cpu, struct perf_event_header *event)
{
	struct {
		struct perf_event_header header;
		uint32_t size;
		char data[];
	} *sample = (void *)event;

	if (event->type == PERF_RECORD_SAMPLE)
		keep_record(ctx, (uint32_t)cpu, sample->data, sample->size);
	return LIBBPF_PERF_EVENT_CONT;
}

static void pr_records_free(struct pr_records *r)
{
	if (!r)
		return;
	ring_buffer__free(r->ring);
	perf_buffer__free(r->perf);
	free(r->data);
	free(r);
}

static struct pr_records *pr_records_open(int map_fd, bool perf)
{
	struct pr_records *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (perf) {
		struct perf_event_attr attr = {
			.size = sizeof(attr),
			.type = PERF_TYPE_SOFTWARE,
			.config = PERF_COUNT_SW_BPF_OUTPUT,
			.sample_type = PERF_SAMPLE_RAW,
			.sample_period = 1,
			/* Nobody waits for them, and an interrupt for each costs more than the run. */
			.watermark = 1,
			.wakeup_watermark = UINT32_MAX,
			.read_format = PR_FORMAT_LOST,
		};

		r->perf = perf_buffer__new_raw(map_fd, 64, &attr, on_perf_event, r, NULL);
		r->counts_lost = r->perf;
		if (!r->perf) /* before Linux 6.0 */
			r->perf = perf_buffer__new(map_fd, 64, on_perf, on_lost, r, NULL);
	} else
		r->ring = ring_buffer__new(map_fd, on_ring, r, NULL);
	if (r->perf || r->ring)
		return r;
	free(r);
	return NULL;
}

/* A lost record is announced with the next that fits, which may never come; the count is there. */
static void read_lost(struct pr_records *r)
{
	uint64_t sum = 0, value[2];

	for (size_t i = 0; i < perf_buffer__buffer_cnt(r->perf); i++)
		if (read(perf_buffer__buffer_fd(r->perf, i), value, sizeof(value)) == sizeof(value))
			sum += value[1];
	r->lost = sum;
}

static int pr_records_read(struct pr_records *r)
{
	int count;

	r->used = 0;
	if (!r->perf)
		return ring_buffer__consume(r->ring);
	count = perf_buffer__consume(r->perf);
	if (r->counts_lost)
		read_lost(r);
	return count;
}

/* An inner map like its template: with the object's types, without which timers and locks fail. */
static int pr_inner_create(struct bpf_object *object, int type, uint32_t key_size,
			   uint32_t value_size, uint32_t max_entries, uint32_t flags,
			   uint32_t key_type, uint32_t value_type)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
	struct btf *btf = bpf_object__btf(object);
	int fd;

	if (btf && btf__fd(btf) >= 0 && value_type) {
		options.btf_fd = (uint32_t)btf__fd(btf);
		options.btf_key_type_id = key_type;
		options.btf_value_type_id = value_type;
		fd = bpf_map_create(type, "inner", key_size, value_size, max_entries, &options);
		if (fd >= 0)
			return fd;
		options.btf_fd = options.btf_key_type_id = options.btf_value_type_id = 0;
	}
	return bpf_map_create(type, "inner", key_size, value_size, max_entries, &options);
}

/* A network namespace that lives as long as its descriptor, with its loopback up. */
static int pr_netns_new(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int home = home_netns(), made = -1, error = 0, sock;

	if (home < 0)
		return -errno;
	if (unshare(CLONE_NEWNET)) {
		error = -errno;
		close(home);
		return error;
	}
	made = home_netns();
	if (made < 0)
		error = -errno;
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock >= 0) {
		request.ifr_flags = IFF_UP | IFF_RUNNING;
		if (ioctl(sock, SIOCSIFFLAGS, &request))
			error = error ? error : -errno;
		close(sock);
	} else {
		error = error ? error : -errno;
	}
	if (leave_netns(home))
		error = -errno;
	if (error && made >= 0)
		close(made);
	return error ? error : made;
}

/* Enters a namespace; returns a descriptor of the one that was left, for the way back. */
static int pr_netns_enter(int fd)
{
	int home = home_netns(), error;

	if (home < 0)
		return -errno;
	if (!setns(fd, CLONE_NEWNET))
		return home;
	error = -errno;
	close(home);
	return error;
}

static int pr_netns_leave(int home)
{
	return leave_netns(home);
}

/* Loads a program of raw instructions: for probes, and for what stands at a hook (carried.py). */
static int pr_prog_load(uint32_t type, uint32_t expected_attach, uint32_t flags, const void *insns,
			size_t count)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = expected_attach,
		    .prog_flags = flags);
	int fd = bpf_prog_load(type, "probe", "GPL", insns, count, &options);

	return fd;
}

/*
 * Attaches a TC program to what an interface of the caller's namespace receives, for as long as the
 * descriptor lives. tcx is Linux 6.6, e420bed02507 ("bpf: Add fd-based tcx multi-prog infra"): the
 * attr is written down here because older headers do not have it.
 */
static int pr_tcx_ingress(int prog_fd, int ifindex)
{
	struct {
		uint32_t prog_fd, target_ifindex, attach_type, flags;
		uint32_t relative_fd, pad;
		uint64_t expected_revision;
	} attr = {
		.prog_fd = (uint32_t)prog_fd,
		.target_ifindex = (uint32_t)ifindex,
		.attach_type = 46, /* BPF_TCX_INGRESS */
	};
	long fd = syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

/* Asks for SIGTERM when the process that started this one is gone, however that ended. */
static int pr_die_with_parent(void)
{
	return prctl(PR_SET_PDEATHSIG, SIGTERM) ? -errno : 0;
}

/* A map with one value: what a program of ours and its caller tell each other. */
static int pr_cell_new(uint32_t size)
{
	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "cell", 4, size, 1, NULL);
}

struct pr_prog_info {
	uint32_t type, id, jited, xlated, verified, btf_id;
	uint64_t load_time, run_cnt, run_time_ns;
	uint8_t tag[8];
};

static int pr_prog_info(int fd, struct pr_prog_info *out)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (error)
		return error;
	out->type = info.type;
	out->id = info.id;
	out->jited = info.jited_prog_len;
	out->xlated = info.xlated_prog_len;
	out->verified = info.verified_insns;
	out->btf_id = info.btf_id;
	out->load_time = info.load_time;
	out->run_cnt = info.run_cnt;
	out->run_time_ns = info.run_time_ns;
	memcpy(out->tag, info.tag, 8);
	return 0;
}

struct pr_map_info {
	uint32_t type, id, key_size, value_size, max_entries, flags;
};

static int pr_map_info(int fd, struct pr_map_info *out)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	int error = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (error)
		return error;
	out->type = info.type;
	out->id = info.id;
	out->key_size = info.key_size;
	out->value_size = info.value_size;
	out->max_entries = info.max_entries;
	out->flags = info.map_flags;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keeps state in every kind of map that can be cleared, and in every kind of global. The bytes
 * behind the Ethernet header say what to do: operation, key, value. What it found is written back
 * into the frame and into the verdict, so that leftover state cannot hide.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

enum { ENTRIES = 8, OPERATIONS = 10 };

struct prefix {
	__u32 length;
	__be32 address;
};

struct order {
	__u8 operation;
	__u8 key;
	__u16 value;
	__u32 found;
	__u32 seen;
};

struct pair {
	__u32 count;
	__u16 last;
};

const volatile __u32 factor = 1;
__u32 limit = 7;
__u32 seen;
struct pair latest;
__u64 history[4] = { 1, 2, 3, 4 };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENTRIES);
	__type(key, __u32);
	__type(value, struct pair);
} table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ENTRIES);
	__type(key, __u32);
	__type(value, __u32);
} sparse SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ENTRIES);
	__type(key, __u32);
	__type(value, __u32);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} sums SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ENTRIES);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, ENTRIES);
	__type(value, __u32);
} waiting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, ENTRIES);
	__type(value, __u32);
} undone SEC(".maps");

static __always_inline __u32 in_hashes(__u8 operation, __u32 key, __u16 value)
{
	struct pair fresh = { .count = 1, .last = value };
	struct pair *found = bpf_map_lookup_elem(&table, &key);
	__u32 plain = value;

	if (operation == 0) {
		if (!found)
			return bpf_map_update_elem(&table, &key, &fresh, BPF_NOEXIST) ? 99 : 1;
		found->count += 1;
		found->last = value;
		return found->count;
	}
	if (operation == 1)
		return bpf_map_delete_elem(&table, &key) ? 3 : 2;
	if (operation == 2)
		return bpf_map_update_elem(&sparse, &key, &plain, BPF_ANY) ? 5 : 4;
	__u32 *other = bpf_map_lookup_elem(&sparse, &key);

	return (other ? *other : 0) + (found ? found->count : 0);
}

static __always_inline __u32 in_arrays(__u8 operation, __u32 key, __u16 value)
{
	__u32 index = key % ENTRIES;
	__u64 *slot = bpf_map_lookup_elem(&slots, &index);
	__u32 *counter = bpf_map_lookup_elem(&counters, &index);
	__u64 *sum = bpf_map_lookup_elem(&sums, &key);
	__u64 first = value;

	if (!slot || !counter)
		return 0;
	if (operation == 4) {
		*slot += value;
		return *slot;
	}
	if (operation == 5) {
		*counter += value;
		return *counter;
	}
	if (sum) {
		*sum += value;
		return *sum;
	}
	bpf_map_update_elem(&sums, &key, &first, BPF_ANY);
	return 6;
}

static __always_inline __u32 elsewhere(__u8 operation, __u32 key, __u16 value)
{
	struct prefix prefix = { .length = 32, .address = key };
	__u32 plain = value;

	if (operation == 7) {
		__u32 *route = bpf_map_lookup_elem(&routes, &prefix);

		return route ? *route : 8;
	}
	if (operation == 8) {
		if (value & 1)
			return bpf_map_push_elem(&waiting, &plain, 0) ? 10 : 9;
		return bpf_map_pop_elem(&waiting, &plain) ? 11 : plain;
	}
	if (value & 1)
		return bpf_map_push_elem(&undone, &plain, BPF_EXIST) ? 13 : 12;
	return bpf_map_pop_elem(&undone, &plain) ? 14 : plain;
}

SEC("xdp")
int everything(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct order *order = data + 14;
	__u8 operation;

	if ((void *)(order + 1) > data_end)
		return XDP_PASS;
	operation = order->operation % OPERATIONS;
	if (operation < 4)
		order->found = in_hashes(operation, order->key, order->value);
	else if (operation < 7)
		order->found = in_arrays(operation, order->key, order->value);
	else
		order->found = elsewhere(operation, order->key, order->value);

	seen += factor;
	latest.count += 1;
	latest.last = order->value;
	history[order->key & 3] += order->found;
	if (order->value == 11)
		limit += order->key;
	order->seen = seen;
	return (order->found + seen + limit + history[0]) % 5;
}

char LICENSE[] SEC("license") = "GPL";

/* In front of a BPF program that is compiled for this machine: what bpf_helpers.h would give. */
#define __BPF_HELPERS__ /* bpf_helpers.h has nothing to add */
#include <linux/types.h>
#include <stdint.h>

#define SEC(name) __attribute__((used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) value *name
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))

void *native_lookup(const void *map, const void *key);
#define bpf_map_lookup_elem native_lookup
#define barrier_var(variable) asm volatile("" : "+r"(variable))

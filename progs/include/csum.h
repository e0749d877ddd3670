/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Incremental checksums: HC' = ~(~HC + ~m + m'), RFC 1624, equation 3. (The older equation 2 of
 * RFC 1141 gives 0xffff where the full computation gives 0.) A wrong checksum stays as wrong as it
 * was, so a broken packet is not made to look whole.
 */
#ifndef PROGS_CSUM_H
#define PROGS_CSUM_H

#include <linux/bpf.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

enum {
	ECN_BITS = 0x03, /* the low bits of type of service and of traffic class */
	DSCP_SHIFT = 2,
};

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Replaces a 16-bit word in what the checksum covers. Words are taken as they lie in memory. */
static __always_inline void csum_replace2(__sum16 *check, __be16 from, __be16 to)
{
	__u32 sum = (*check ^ 0xffff) + (from ^ 0xffff) + to;

	*check = csum_fold(sum) ^ 0xffff;
}

/* Replaces a 32-bit word, an IPv4 address for instance. */
static __always_inline void csum_replace4(__sum16 *check, __be32 from, __be32 to)
{
	csum_replace2(check, from >> 16, to >> 16);
	csum_replace2(check, from & 0xffff, to & 0xffff);
}

/* Folds a sum of 32-bit words, taken as they lie in memory. */
static __always_inline __u16 csum_fold64(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return csum_fold(sum);
}

/* Replaces four 32-bit words, an IPv6 address (or an IPv4 address, mapped: what is equal cancels). */
static __always_inline void csum_replace16(__sum16 *check, const __be32 from[4], const __be32 to[4])
{
	__u64 sum = *check ^ 0xffff;

	for (int i = 0; i < 4; i++)
		sum += (__u64)(from[i] ^ 0xffffffff) + to[i];
	*check = csum_fold64(sum) ^ 0xffff;
}

/*
 * Replaces an address in what a transport checksum covers. A zero of UDP says that there is none, and
 * stays; where the result would be zero, UDP writes it the other way.
 */
static __always_inline void csum_readdress(__sum16 *check, bool is_udp, const __be32 from[4],
					   const __be32 to[4])
{
	if (is_udp && !*check)
		return;
	csum_replace16(check, from, to);
	if (is_udp && !*check)
		*check = 0xffff;
}

/* Computes the checksum of a header without options; the field itself counts, so clear it first. */
static __always_inline __sum16 ipv4_checksum(const struct iphdr *ip)
{
	const __be32 *words = (const __be32 *)ip;
	__u64 sum = 0;

	for (int i = 0; i < 5; i++)
		sum += words[i];
	return csum_fold64(sum) ^ 0xffff;
}

/* Takes one hop off. The caller has made sure that there is more than one left. */
static __always_inline void ipv4_decrease_ttl(struct iphdr *ip)
{
	__be16 from = bpf_htons(ip->ttl << 8 | ip->protocol);

	ip->ttl--;
	csum_replace2(&ip->check, from, bpf_htons(ip->ttl << 8 | ip->protocol));
}

/* Sets the 6 bits of DSCP; the two of ECN belong to the end points and stay. */
static __always_inline void ipv4_set_dscp(struct iphdr *ip, __u8 dscp)
{
	__u8 before = ip->tos;
	__u8 after = dscp << DSCP_SHIFT | (before & ECN_BITS);

	/* The word is version, header length and tos; the upper byte is the same in both. */
	csum_replace2(&ip->check, bpf_htons(before), bpf_htons(after));
	ip->tos = after;
}

#endif

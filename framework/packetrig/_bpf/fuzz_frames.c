// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Frames as a campaign's mutators see them: which header stands where, and what a sender would
 * have written into lengths and checksums.
 *
 * The walk reads what packets.frames reads, and says the same about checksums (a test holds them
 * equal); it goes on where a length lies, since the header behind it is still there to be changed.
 */
enum {
	FZ_MOST_HEADERS = 24,
	FZ_NO_IP = 0xff,
};

static inline uint32_t fz_u8(const uint8_t *frame, uint32_t end, uint32_t at)
{
	return at < end ? frame[at] : 0;
}

static inline uint32_t fz_u16(const uint8_t *frame, uint32_t end, uint32_t at)
{
	return at + 2 <= end ? (uint32_t)frame[at] << 8 | frame[at + 1] : 0;
}

static inline void fz_put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void fz_put32(uint8_t *at, uint32_t value)
{
	fz_put16(at, value >> 16);
	fz_put16(at + 2, value);
}

/* Notes a header; false where the walk ends with it. */
static bool fz_enter(struct fz_walk *w, int kind, uint32_t at, uint32_t size, uint8_t ip, bool sane)
{
	struct fz_header *h;

	if (w->count == FZ_MOST_HEADERS || at >= w->end)
		return false;
	h = &w->headers[w->count++];
	h->kind = (uint8_t)kind;
	h->ip = ip;
	h->at = (uint16_t)at;
	h->size = (uint16_t)size;
	h->is_whole = sane && at + size <= w->end;
	w->payload = at + size < w->end ? at + size : w->end;
	return h->is_whole;
}

enum {
	FZ_ETHERTYPE,
	FZ_PROTOCOL,
	FZ_LINK,
	FZ_DONE
};

static int fz_ether(const uint8_t *frame, struct fz_walk *w, uint32_t *at, uint32_t *next)
{
	uint32_t type = fz_u16(frame, w->end, *at + 12);

	if (!fz_enter(w, FZ_ETHER, *at, 14, FZ_NO_IP, true) || type <= 1500)
		return FZ_DONE;
	*next = type;
	*at += 14;
	return FZ_ETHERTYPE;
}

static int fz_ip4(const uint8_t *frame, struct fz_walk *w, uint32_t *at, uint32_t *next)
{
	uint32_t first = fz_u8(frame, w->end, *at), words = first & 15;
	uint32_t size = words < 5 ? 20 : words * 4;
	uint8_t self = (uint8_t)w->count;

	if (!fz_enter(w, FZ_IP4, *at, size, self, first >> 4 == 4 && words >= 5))
		return FZ_DONE;
	if (fz_u16(frame, w->end, *at + 6) & 0x1fff)
		return FZ_DONE;
	*next = frame[*at + 9];
	*at += size;
	return FZ_PROTOCOL;
}

static int fz_ip6(const uint8_t *frame, struct fz_walk *w, uint32_t *at, uint32_t *next)
{
	uint8_t self = (uint8_t)w->count;

	if (!fz_enter(w, FZ_IP6, *at, 40, self, fz_u8(frame, w->end, *at) >> 4 == 6))
		return FZ_DONE;
	*next = frame[*at + 6];
	*at += 40;
	return FZ_PROTOCOL;
}

static int fz_gre(const uint8_t *frame, struct fz_walk *w, uint32_t *at, uint32_t *next)
{
	uint32_t flags = fz_u16(frame, w->end, *at);
	uint32_t size =
		4 + (flags & 0xc000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0);

	*next = fz_u16(frame, w->end, *at + 2);
	if (!fz_enter(w, FZ_GRE, *at, size, FZ_NO_IP, true) || flags & 0x4007)
		return FZ_DONE;
	*at += size;
	return *next == 0x6558 ? FZ_LINK : FZ_ETHERTYPE;
}

static int fz_by_version(const uint8_t *frame, struct fz_walk *w, uint32_t at, uint32_t *next)
{
	uint32_t version = fz_u8(frame, w->end, at) >> 4;

	*next = version == 4 ? 0x0800 : 0x86dd;
	return version == 4 || version == 6 ? FZ_ETHERTYPE : FZ_DONE;
}

static int fz_vxlan_gpe(const uint8_t *frame, struct fz_walk *w, uint32_t *at, uint32_t *next)
{
	static const uint16_t kinds[] = { 0, 0x0800, 0x86dd, 0, 0, 0x8847 };
	uint32_t kind;

	if (!fz_enter(w, FZ_VXLAN, *at, 8, FZ_NO_IP, true) || !(frame[*at] & 0x0c))
		return FZ_DONE;
	kind = frame[*at] & 4 ? frame[*at + 3] : 3;
	*at += 8;
	if (kind == 3)
		return FZ_LINK;
	*next = kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[kind] : 0;
	return *next ? FZ_ETHERTYPE : FZ_DONE;
}

static int fz_gtp(const uint8_t *frame, struct fz_walk *w, uint32_t *at, uint32_t *next)
{
	uint32_t first = fz_u8(frame, w->end, *at), size = first & 7 ? 12 : 8, more, kind;

	if (!fz_enter(w, FZ_GTP, *at, size, FZ_NO_IP, first >> 4 == 3))
		return FZ_DONE;
	kind = frame[*at + 1];
	more = first & 4 ? frame[*at + 11] : 0;
	*at += size;
	while (more == 0x85 && *at < w->end) {
		size = 4 * frame[*at];
		if (!fz_enter(w, FZ_GTP_SESSION, *at, size ? size : 4, FZ_NO_IP, size > 0))
			return FZ_DONE;
		more = frame[*at + size - 1];
		*at += size;
	}
	return more || kind != 255 ? FZ_DONE : fz_by_version(frame, w, *at, next);
}

static int fz_ppp(const uint8_t *frame, struct fz_walk *w, uint32_t *at, uint32_t *next)
{
	uint32_t size, kind;

	if (fz_u16(frame, w->end, *at) == 0xff03) {
		if (!fz_enter(w, FZ_HDLC, *at, 2, FZ_NO_IP, true))
			return FZ_DONE;
		*at += 2;
	}
	size = fz_u8(frame, w->end, *at) & 1 ? 1 : 2;
	if (!fz_enter(w, FZ_PPP, *at, size, FZ_NO_IP, true))
		return FZ_DONE;
	kind = size == 1 ? frame[*at] : fz_u16(frame, w->end, *at);
	*at += size;
	*next = kind == 0x21 ? 0x0800 : kind == 0x57 ? 0x86dd : 0x8847;
	return kind == 0x21 || kind == 0x57 || kind == 0x281 ? FZ_ETHERTYPE : FZ_DONE;
}

static int fz_l2tp(const uint8_t *frame, struct fz_walk *w, uint32_t *at, uint32_t *next)
{
	uint32_t flags = fz_u16(frame, w->end, *at);
	uint32_t size = 6 + (flags & 0x4000 ? 2 : 0) + (flags & 0x0800 ? 4 : 0);

	if (flags & 0x0200)
		size += 2 + fz_u16(frame, w->end, *at + size);
	if (!fz_enter(w, FZ_L2TP, *at, size, FZ_NO_IP, (flags & 15) == 2) || flags & 0x8000)
		return FZ_DONE;
	*at += size;
	return fz_ppp(frame, w, at, next);
}

static int fz_udp(const uint8_t *frame, struct fz_walk *w, uint8_t ip, uint32_t *at, uint32_t *next)
{
	uint32_t port = fz_u16(frame, w->end, *at + 2), first, size;

	if (!fz_enter(w, FZ_UDP, *at, 8, ip, true))
		return FZ_DONE;
	*at += 8;
	first = fz_u8(frame, w->end, *at);
	switch (port) {
	case 1701:
		return fz_l2tp(frame, w, at, next);
	case 2152:
		return fz_gtp(frame, w, at, next);
	case 4790:
		return fz_vxlan_gpe(frame, w, at, next);
	case 6635:
		*next = 0x8847;
		return FZ_ETHERTYPE;
	case 4789:
	case 8472:
		if (!fz_enter(w, FZ_VXLAN, *at, 8, FZ_NO_IP, true) || !(first & 8))
			return FZ_DONE;
		*at += 8;
		return FZ_LINK;
	case 6081:
		size = 8 + 4 * (first & 0x3f);
		*next = fz_u16(frame, w->end, *at + 2);
		if (!fz_enter(w, FZ_GENEVE, *at, size, FZ_NO_IP, first >> 6 == 0))
			return FZ_DONE;
		*at += size;
		return *next == 0x6558 ? FZ_LINK : FZ_ETHERTYPE;
	case 6080:
		if (first >> 6 == 1) {
			*next = first >> 4 == 4 ? 4 : 41;
			return FZ_PROTOCOL;
		}
		size = 4 + 4 * (first & 0x1f);
		*next = fz_u8(frame, w->end, *at + 1);
		if (!fz_enter(w, FZ_GUE, *at, size, FZ_NO_IP, first >> 6 == 0) || first & 0x20)
			return FZ_DONE;
		*at += size;
		return *next == 4 || *next == 41 || *next == 47 ? FZ_PROTOCOL : FZ_DONE;
	}
	return FZ_DONE;
}

static int fz_by_ethertype(const uint8_t *frame, struct fz_walk *w, uint32_t *at, uint32_t *next)
{
	uint32_t first;

	switch (*next) {
	case 0x0800:
		return fz_ip4(frame, w, at, next);
	case 0x86dd:
		return fz_ip6(frame, w, at, next);
	case 0x0806:
		fz_enter(w, FZ_ARP, *at,
			 8 + 2 * (fz_u8(frame, w->end, *at + 4) + fz_u8(frame, w->end, *at + 5)),
			 FZ_NO_IP, true);
		return FZ_DONE;
	case 0x8100:
	case 0x88a8:
		*next = fz_u16(frame, w->end, *at + 2);
		if (!fz_enter(w, FZ_TAG, *at, 4, FZ_NO_IP, true))
			return FZ_DONE;
		*at += 4;
		return *next > 1500 ? FZ_ETHERTYPE : FZ_DONE;
	case 0x8847:
	case 0x8848:
		if (!fz_enter(w, FZ_MPLS, *at, 4, FZ_NO_IP, true))
			return FZ_DONE;
		first = frame[*at + 2] & 1;
		*at += 4;
		if (!first)
			return FZ_ETHERTYPE; /* one more label */
		return fz_by_version(frame, w, *at, next);
	case 0x8863:
		fz_enter(w, FZ_PPPOE_DISCOVERY, *at, 6, FZ_NO_IP,
			 fz_u8(frame, w->end, *at) == 0x11);
		return FZ_DONE;
	case 0x8864:
		if (!fz_enter(w, FZ_PPPOE, *at, 6, FZ_NO_IP, fz_u16(frame, w->end, *at) == 0x1100))
			return FZ_DONE;
		*at += 6;
		return fz_ppp(frame, w, at, next);
	}
	return FZ_DONE;
}

static bool fz_is_extension(uint32_t protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 44 || protocol == 60;
}

static int fz_extension(const uint8_t *frame, struct fz_walk *w, uint8_t ip, uint32_t *at,
			uint32_t *next)
{
	uint32_t size = *next == 44 ? 8 : 8 * (fz_u8(frame, w->end, *at + 1) + 1);
	int kind = *next == 44 ? FZ_FRAGMENT6 : *next == 43 ? FZ_ROUTING6 : FZ_OPTIONS6;

	if (!fz_enter(w, kind, *at, size, ip, true))
		return FZ_DONE;
	if (kind == FZ_FRAGMENT6 && fz_u16(frame, w->end, *at + 2) & 0xfff8)
		return FZ_DONE;
	*next = frame[*at];
	*at += size;
	return FZ_PROTOCOL;
}

static int fz_by_protocol(const uint8_t *frame, struct fz_walk *w, uint8_t ip, uint32_t *at,
			  uint32_t *next)
{
	bool is_v6 = ip != FZ_NO_IP && w->headers[ip].kind == FZ_IP6;
	uint32_t words, size;

	if (is_v6 && fz_is_extension(*next))
		return fz_extension(frame, w, ip, at, next);
	switch (*next) {
	case 1:
		words = fz_u8(frame, w->end, *at);
		size = words == 13 || words == 14 ? 20 : words == 17 || words == 18 ? 12 : 8;
		fz_enter(w, FZ_ICMP, *at, size, ip, true);
		return FZ_DONE;
	case 2:
		if (!is_v6)
			fz_enter(w, FZ_IGMP, *at, 8, ip, true);
		return FZ_DONE;
	case 4:
		return fz_ip4(frame, w, at, next);
	case 41:
		return fz_ip6(frame, w, at, next);
	case 6:
		words = fz_u8(frame, w->end, *at + 12) >> 4;
		fz_enter(w, FZ_TCP, *at, words < 5 ? 20 : words * 4, ip, words >= 5);
		return FZ_DONE;
	case 17:
		return fz_udp(frame, w, ip, at, next);
	case 47:
		return fz_gre(frame, w, at, next);
	case 51:
		size = 4 * (fz_u8(frame, w->end, *at + 1) + 2);
		if (!fz_enter(w, FZ_AH, *at, size < 12 ? 12 : size, ip, size >= 12))
			return FZ_DONE;
		*next = frame[*at];
		*at += size;
		return FZ_PROTOCOL;
	case 58:
		if (is_v6)
			fz_enter(w, FZ_ICMP6, *at, 8, ip, true);
		return FZ_DONE;
	case 132:
		fz_enter(w, FZ_SCTP, *at, 12, ip, true);
		return FZ_DONE;
	case 137:
		*next = 0x8847;
		return FZ_ETHERTYPE;
	case 143:
		return FZ_LINK;
	}
	return FZ_DONE;
}

void fz_walk(const uint8_t *frame, uint32_t size, struct fz_walk *w)
{
	uint32_t at = 0, next = 0;
	uint8_t ip = FZ_NO_IP;
	int how = FZ_LINK;

	w->count = 0;
	w->payload = 0;
	w->end = size;
	while (how != FZ_DONE && at < size && w->count < FZ_MOST_HEADERS) {
		uint32_t before = w->count;

		if (how == FZ_LINK)
			how = fz_ether(frame, w, &at, &next);
		else if (how == FZ_ETHERTYPE)
			how = fz_by_ethertype(frame, w, &at, &next);
		else
			how = fz_by_protocol(frame, w, ip, &at, &next);
		for (uint32_t i = before; i < w->count; i++)
			if (w->headers[i].kind == FZ_IP4 || w->headers[i].kind == FZ_IP6)
				ip = (uint8_t)i;
	}
}

static uint64_t fz_sum(const uint8_t *at, uint32_t size, uint64_t sum)
{
	uint32_t word;

	for (; size >= 4; at += 4, size -= 4) {
		memcpy(&word, at, 4);
		sum += word;
	}
	if (size >= 2) {
		uint16_t half;

		memcpy(&half, at, 2);
		sum += half;
		at += 2;
		size -= 2;
	}
	if (size) {
		uint16_t last = 0;

		memcpy(&last, at, 1);
		sum += last;
	}
	return sum;
}

/* The bytes of the field, in the order in which the words were added up. */
static uint16_t fz_folded(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t fz_crc32c(const uint8_t *at, uint32_t size)
{
	static uint32_t table[256];
	uint32_t crc = 0xffffffff;

	if (!table[1])
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t entry = i;

			for (int bit = 0; bit < 8; bit++)
				entry = (entry >> 1) ^ (entry & 1 ? 0x82f63b78 : 0);
			table[i] = entry;
		}
	while (size--)
		crc = table[(crc ^ *at++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

/* How far the packet of each header goes, and whether it is all there: as packets.frames reads. */
struct fz_extent {
	uint32_t end;
	bool is_complete;
	bool has_pseudo;
	uint8_t final[16]; /* the destination in the pseudo header */
};

static bool fz_has_source_route(const uint8_t *options, uint32_t size)
{
	uint32_t at = 0;

	while (at < size && options[at]) {
		if (options[at] == 131 || options[at] == 137)
			return true;
		if (options[at] == 1)
			at++;
		else
			at += at + 1 < size && options[at + 1] > 2 ? options[at + 1] : 2;
	}
	return false;
}

static void fz_extent_of(const uint8_t *frame, const struct fz_header *h, struct fz_extent *x)
{
	uint32_t at = h->at, stated, fragment, kind, first;

	switch (h->kind) {
	case FZ_IP4:
		stated = fz_u16(frame, x->end, at + 2);
		fragment = fz_u16(frame, x->end, at + 6) & 0x3fff;
		x->is_complete = h->size <= stated && stated <= x->end - at && !fragment;
		if (stated >= h->size && at + stated < x->end)
			x->end = at + stated;
		x->has_pseudo =
			!(h->size > 20 && fz_has_source_route(frame + at + 20, h->size - 20u));
		memcpy(x->final, frame + at + 16, 4);
		break;
	case FZ_IP6:
		stated = fz_u16(frame, x->end, at + 4);
		x->is_complete = stated && stated <= x->end - at - 40;
		if (stated && at + 40 + stated < x->end)
			x->end = at + 40 + stated;
		x->has_pseudo = true;
		memcpy(x->final, frame + at + 24, 16);
		break;
	case FZ_OPTIONS6: /* a home address takes the source's place */
		for (uint32_t i = at + 2; i + 2 <= at + h->size; i++)
			if (frame[i] == 0xc9 && frame[i + 1] == 0x10)
				x->has_pseudo = false;
		break;
	case FZ_ROUTING6:
		kind = frame[at + 2];
		if (!frame[at + 3])
			break;
		first = kind == 2 || kind == 4 ? at + 8 : kind == 0 ? at + h->size - 16u : 0;
		if (first >= at + 8 && first + 16 <= at + h->size)
			memcpy(x->final, frame + first, 16);
		else
			x->has_pseudo = false;
		break;
	case FZ_FRAGMENT6:
		if (fz_u16(frame, x->end, at + 2) & 0xfff9)
			x->is_complete = false;
		break;
	case FZ_GTP:
		stated = 8 + fz_u16(frame, x->end, at + 2);
		x->end = at + stated < x->end ? at + stated : x->end;
		break;
	case FZ_PPPOE:
		stated = 6 + fz_u16(frame, x->end, at + 4);
		x->end = at + stated < x->end ? at + stated : x->end;
		break;
	case FZ_L2TP:
		stated = fz_u16(frame, x->end, at + 2);
		if (frame[at] & 0x40 && at + stated < x->end)
			x->end = at + stated;
		break;
	case FZ_UDP:
		stated = fz_u16(frame, x->end, at + 4);
		if (stated < 8 || stated > x->end - at)
			x->is_complete = false;
		else
			x->end = at + stated;
		break;
	}
}

static uint64_t fz_pseudo(const uint8_t *frame, const struct fz_walk *w, const struct fz_header *h,
			  const struct fz_extent *x, uint32_t protocol)
{
	const struct fz_header *ip = &w->headers[h->ip];
	uint8_t rest[8] = {};
	uint64_t sum;

	if (ip->kind == FZ_IP6)
		sum = fz_sum(x->final, 16, fz_sum(frame + ip->at + 8, 16, 0));
	else
		sum = fz_sum(x->final, 4, fz_sum(frame + ip->at + 12, 4, 0));
	fz_put32(rest, x->end - h->at);
	rest[7] = (uint8_t)protocol;
	return fz_sum(rest, 8, sum);
}

static void fz_checksum(uint8_t *frame, const struct fz_walk *w, const struct fz_header *h,
			const struct fz_extent *x)
{
	static const struct {
		uint8_t at, protocol, least;
	} places[FZ_KINDS] = {
		[FZ_TCP] = { 16, 6, 20 },  [FZ_UDP] = { 6, 17, 8 }, [FZ_ICMP] = { 2, 0, 8 },
		[FZ_ICMP6] = { 2, 58, 4 }, [FZ_IGMP] = { 2, 0, 8 }, [FZ_GRE] = { 4, 0, 8 },
		[FZ_SCTP] = { 8, 0, 12 },
	};
	uint32_t at = h->at, size = x->end - at, where = places[h->kind].at;
	uint16_t sum;

	if (h->kind == FZ_IP4) {
		if (!h->is_whole)
			return;
		memset(frame + at + 10, 0, 2);
		sum = fz_folded(fz_sum(frame + at, h->size, 0));
		memcpy(frame + at + 10, &sum, 2);
		return;
	}
	if (!where || !x->is_complete || at + places[h->kind].least > x->end)
		return;
	if (h->kind == FZ_GRE && !(frame[at] & 0x80))
		return;
	if (h->kind == FZ_SCTP) {
		uint32_t crc;

		memset(frame + at + 8, 0, 4);
		crc = fz_crc32c(frame + at, size);
		memcpy(frame + at + 8, &crc, 4);
		return;
	}
	if (places[h->kind].protocol && !x->has_pseudo)
		return;
	/* Zero says of UDP over IPv4 that there is no checksum: that stays so. */
	if (h->kind == FZ_UDP && h->ip != FZ_NO_IP && w->headers[h->ip].kind == FZ_IP4 &&
	    !frame[at + 6] && !frame[at + 7])
		return;
	memset(frame + at + where, 0, 2);
	sum = fz_folded(fz_sum(frame + at, size,
			       places[h->kind].protocol
				       ? fz_pseudo(frame, w, h, x, places[h->kind].protocol)
				       : 0));
	if (!sum && h->kind == FZ_UDP)
		sum = 0xffff;
	memcpy(frame + at + where, &sum, 2);
}

/* Each packet goes to the end of the frame, but for what is behind its own padding. */
static void fz_lengths(uint8_t *frame, uint32_t size, const struct fz_walk *w)
{
	bool is_first_fragment = false;

	for (uint32_t i = 0; i < w->count; i++) {
		const struct fz_header *h = &w->headers[i];

		if (h->at + 8u > size)
			return;
		if (h->kind == FZ_IP4 && h->at + 20u <= size) {
			fz_put16(frame + h->at + 2, size - h->at);
			is_first_fragment = (fz_u16(frame, size, h->at + 6) & 0x3fff) == 0x2000;
		} else if (h->kind == FZ_IP6 && h->at + 40u <= size) {
			fz_put16(frame + h->at + 4, size - h->at - 40);
			is_first_fragment = false;
		} else if (h->kind == FZ_FRAGMENT6) {
			is_first_fragment = (fz_u16(frame, size, h->at + 2) & 0xfff9) == 1;
		} else if (h->kind == FZ_UDP &&
			   /* that of the whole datagram is right there */
			   !(is_first_fragment && fz_u16(frame, size, h->at + 4) > size - h->at)) {
			fz_put16(frame + h->at + 4, size - h->at);
		} else if (h->kind == FZ_GTP) {
			fz_put16(frame + h->at + 2, size - h->at - 8);
		} else if (h->kind == FZ_PPPOE) {
			fz_put16(frame + h->at + 4, size - h->at - 6);
		} else if (h->kind == FZ_L2TP && frame[h->at] & 0x40) {
			fz_put16(frame + h->at + 2, size - h->at);
		}
	}
}

/* Makes right what a sender would have: the lengths, then the checksums from the inside out. */
void fz_repair(uint8_t *frame, uint32_t size, bool lengths, bool checksums)
{
	struct fz_extent extents[FZ_MOST_HEADERS], x = { .end = size };
	struct fz_walk w;

	fz_walk(frame, size, &w);
	if (lengths)
		fz_lengths(frame, size, &w);
	if (!checksums)
		return;
	for (uint32_t i = 0; i < w.count; i++) {
		if (w.headers[i].at >= x.end) {
			w.count = i;
			break;
		}
		if (w.headers[i].at + w.headers[i].size > x.end)
			w.headers[i].is_whole = 0;
		if (w.headers[i].is_whole)
			fz_extent_of(frame, &w.headers[i], &x);
		extents[i] = x;
	}
	for (uint32_t i = w.count; i--;)
		fz_checksum(frame, &w, &w.headers[i], &extents[i]);
}

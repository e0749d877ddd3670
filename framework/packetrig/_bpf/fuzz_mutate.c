// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mutators. Each changes one frame in place, knows what headers are, and says whether it changed
 * anything. Those with a `variant` are enumerated by the deterministic stage and picked at random
 * by the other one; all randomness comes from one seeded generator.
 */
enum {
	FZ_ANY,
	FZ_MAC,
	FZ_V4,
	FZ_V6,
	FZ_PORT,
	FZ_NUMBER,
	FZ_TEXT,
	FZ_TOKEN_KINDS,
	FZ_LENGTH = FZ_TOKEN_KINDS /* how long frames are made, not what stands in them */
};

/* xoshiro256** by Blackman and Vigna (public domain): the same everywhere, unlike rand(). */
static inline uint64_t fz_rotated(uint64_t x, int by)
{
	return (x << by) | (x >> (64 - by));
}

static inline uint64_t fz_next(struct fz_random *r)
{
	uint64_t *s = r->state, result = fz_rotated(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = fz_rotated(s[3], 45);
	return result;
}

static inline uint32_t fz_below(struct fz_random *r, uint32_t bound)
{
	return (uint32_t)((fz_next(r) >> 32) * bound >> 32);
}

static void fz_seed(struct fz_random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) { /* splitmix64 */
		uint64_t z = (seed += 0x9e3779b97f4a7c15);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
		z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
		r->state[i] = z ^ (z >> 31);
	}
}

/* Words */

static const struct fz_token *fz_token_of(const struct fz_words *w, int kind, uint32_t pick)
{
	uint32_t count = w->of_kind_count[kind];

	return count ? &w->tokens[w->of_kind[kind][pick % count]] : NULL;
}

static int fz_add_token(struct fz_words *w, const uint8_t *bytes, uint32_t size, uint32_t kind)
{
	uint32_t *list;

	if (kind == FZ_LENGTH) {
		if (size != 2)
			return -EINVAL;
		if (w->lengths_count < sizeof(w->lengths) / sizeof(w->lengths[0]))
			w->lengths[w->lengths_count++] = (uint16_t)(bytes[0] << 8 | bytes[1]);
		return 0;
	}
	if (!size || size > 4096 || kind >= FZ_TOKEN_KINDS)
		return -EINVAL;
	if (w->used + size > w->room) {
		uint32_t room = (w->used + size) * 2;
		uint8_t *grown = realloc(w->bytes, room);

		if (!grown)
			return -ENOMEM;
		w->bytes = grown;
		w->room = room;
	}
	if (w->count == w->tokens_room) {
		uint32_t room = w->tokens_room * 2 + 64;
		struct fz_token *grown = realloc(w->tokens, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		w->tokens = grown;
		w->tokens_room = room;
	}
	list = realloc(w->of_kind[kind], (w->of_kind_count[kind] + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	list[w->of_kind_count[kind]++] = w->count;
	w->of_kind[kind] = list;
	w->tokens[w->count++] = (struct fz_token){ w->used, (uint16_t)size, (uint16_t)kind };
	memcpy(w->bytes + w->used, bytes, size);
	w->used += size;
	return 0;
}

/* Bytes in, bytes out */

static bool fz_make_room(struct fz_frame *f, uint32_t at, uint32_t size)
{
	if (at > f->size || f->size + size > f->room)
		return false;
	memmove(f->data + at + size, f->data + at, f->size - at);
	f->size += size;
	return true;
}

static bool fz_insert(struct fz_frame *f, uint32_t at, const void *bytes, uint32_t size)
{
	if (!fz_make_room(f, at, size))
		return false;
	memcpy(f->data + at, bytes, size);
	return true;
}

static bool fz_remove(struct fz_frame *f, uint32_t at, uint32_t size)
{
	if (at + size > f->size || !size)
		return false;
	memmove(f->data + at, f->data + at + size, f->size - at - size);
	f->size -= size;
	return true;
}

static bool fz_resize(struct fz_frame *f, uint32_t size)
{
	if (size > f->room || size == f->size)
		return false;
	if (size > f->size)
		memset(f->data + f->size, 0, size - f->size);
	f->size = size;
	return true;
}

static const struct fz_header *fz_find(const struct fz_walk *w, uint32_t kinds)
{
	for (uint32_t i = 0; i < w->count; i++)
		if (kinds >> w->headers[i].kind & 1)
			return &w->headers[i];
	return NULL;
}

#define FZ_BIT(kind) (1U << (kind))
#define FZ_IPS (FZ_BIT(FZ_IP4) | FZ_BIT(FZ_IP6))
#define FZ_EXTENSIONS (FZ_BIT(FZ_OPTIONS6) | FZ_BIT(FZ_ROUTING6) | FZ_BIT(FZ_FRAGMENT6))
#define FZ_GROWS                                                                         \
	(FZ_BIT(FZ_OPTIONS6) | FZ_BIT(FZ_ROUTING6) | FZ_BIT(FZ_AH) | FZ_BIT(FZ_GENEVE) | \
	 FZ_BIT(FZ_GUE))
#define FZ_PORTED (FZ_BIT(FZ_TCP) | FZ_BIT(FZ_UDP) | FZ_BIT(FZ_SCTP))

/* Where a header says what follows: 0 for none; `*size` is 1 for a protocol, 2 for an ethertype. */
static uint32_t fz_follows(const struct fz_header *h, uint32_t *size)
{
	*size = 1;
	switch (h->kind) {
	case FZ_IP4:
		return h->at + 9;
	case FZ_IP6:
		return h->at + 6;
	case FZ_OPTIONS6:
	case FZ_ROUTING6:
	case FZ_FRAGMENT6:
	case FZ_AH:
		return h->at;
	case FZ_ETHER:
		*size = 2;
		return h->at + 12;
	case FZ_TAG:
	case FZ_GRE:
	case FZ_GENEVE:
		*size = 2;
		return h->at + 2;
	}
	return 0;
}

/* What a header is called by the one before it. */
static uint32_t fz_name_of(const uint8_t *frame, const struct fz_walk *w, uint32_t number)
{
	uint32_t size, at;

	if (!number)
		return 0;
	at = fz_follows(&w->headers[number - 1], &size);
	return !at ? 0 : size == 1 ? frame[at] : fz_u16(frame, w->end, at);
}

static void fz_rename(uint8_t *frame, const struct fz_walk *w, uint32_t number, uint32_t name)
{
	uint32_t size, at;

	if (!number || !(at = fz_follows(&w->headers[number - 1], &size)) || at + size > w->end)
		return;
	if (size == 1)
		frame[at] = (uint8_t)name;
	else
		fz_put16(frame + at, name);
}

/* Fields */

enum {
	FT_PLAIN,
	FT_LENGTH,
	FT_ETHERTYPE,
	FT_PROTOCOL,
	FT_PORT,
	FT_V4,
	FT_V6,
	FT_MAC,
	FT_SUM
};

struct fz_field {
	uint8_t kind, at, size, type;
	uint16_t mask; /* of a field of one or two bytes */
};

static const struct fz_field fz_fields[] = {
	{ FZ_ETHER, 0, 6, FT_MAC, 0 },
	{ FZ_ETHER, 6, 6, FT_MAC, 0 },
	{ FZ_ETHER, 12, 2, FT_ETHERTYPE, 0xffff },
	{ FZ_TAG, 0, 2, FT_PLAIN, 0x0fff },
	{ FZ_TAG, 0, 2, FT_PLAIN, 0xf000 },
	{ FZ_TAG, 2, 2, FT_ETHERTYPE, 0xffff },
	{ FZ_MPLS, 2, 1, FT_PLAIN, 0x01 },
	{ FZ_MPLS, 3, 1, FT_PLAIN, 0xff },
	{ FZ_ARP, 0, 2, FT_PLAIN, 0xffff },
	{ FZ_ARP, 2, 2, FT_ETHERTYPE, 0xffff },
	{ FZ_ARP, 4, 1, FT_LENGTH, 0xff },
	{ FZ_ARP, 5, 1, FT_LENGTH, 0xff },
	{ FZ_ARP, 6, 2, FT_PLAIN, 0xffff },
	{ FZ_ARP, 14, 4, FT_V4, 0 },
	{ FZ_ARP, 24, 4, FT_V4, 0 },
	{ FZ_IP4, 0, 1, FT_PLAIN, 0xf0 },
	{ FZ_IP4, 0, 1, FT_LENGTH, 0x0f },
	{ FZ_IP4, 1, 1, FT_PLAIN, 0xff },
	{ FZ_IP4, 2, 2, FT_LENGTH, 0xffff },
	{ FZ_IP4, 4, 2, FT_PLAIN, 0xffff },
	{ FZ_IP4, 6, 2, FT_PLAIN, 0x1fff },
	{ FZ_IP4, 6, 2, FT_PLAIN, 0xe000 },
	{ FZ_IP4, 8, 1, FT_PLAIN, 0xff },
	{ FZ_IP4, 9, 1, FT_PROTOCOL, 0xff },
	{ FZ_IP4, 10, 2, FT_SUM, 0xffff },
	{ FZ_IP4, 12, 4, FT_V4, 0 },
	{ FZ_IP4, 16, 4, FT_V4, 0 },
	{ FZ_IP6, 0, 1, FT_PLAIN, 0xf0 },
	{ FZ_IP6, 0, 2, FT_PLAIN, 0x0ff0 },
	{ FZ_IP6, 2, 2, FT_PLAIN, 0xffff },
	{ FZ_IP6, 4, 2, FT_LENGTH, 0xffff },
	{ FZ_IP6, 6, 1, FT_PROTOCOL, 0xff },
	{ FZ_IP6, 7, 1, FT_PLAIN, 0xff },
	{ FZ_IP6, 8, 16, FT_V6, 0 },
	{ FZ_IP6, 24, 16, FT_V6, 0 },
	{ FZ_OPTIONS6, 0, 1, FT_PROTOCOL, 0xff },
	{ FZ_OPTIONS6, 1, 1, FT_LENGTH, 0xff },
	{ FZ_ROUTING6, 0, 1, FT_PROTOCOL, 0xff },
	{ FZ_ROUTING6, 1, 1, FT_LENGTH, 0xff },
	{ FZ_ROUTING6, 2, 1, FT_PLAIN, 0xff },
	{ FZ_ROUTING6, 3, 1, FT_PLAIN, 0xff },
	{ FZ_ROUTING6, 4, 1, FT_PLAIN, 0xff },
	{ FZ_ROUTING6, 5, 1, FT_PLAIN, 0xff },
	{ FZ_FRAGMENT6, 0, 1, FT_PROTOCOL, 0xff },
	{ FZ_FRAGMENT6, 2, 2, FT_PLAIN, 0xfff8 },
	{ FZ_FRAGMENT6, 2, 2, FT_PLAIN, 0x0007 },
	{ FZ_AH, 0, 1, FT_PROTOCOL, 0xff },
	{ FZ_AH, 1, 1, FT_LENGTH, 0xff },
	{ FZ_TCP, 0, 2, FT_PORT, 0xffff },
	{ FZ_TCP, 2, 2, FT_PORT, 0xffff },
	{ FZ_TCP, 12, 1, FT_LENGTH, 0xf0 },
	{ FZ_TCP, 13, 1, FT_PLAIN, 0xff },
	{ FZ_TCP, 14, 2, FT_PLAIN, 0xffff },
	{ FZ_TCP, 16, 2, FT_SUM, 0xffff },
	{ FZ_TCP, 18, 2, FT_PLAIN, 0xffff },
	{ FZ_UDP, 0, 2, FT_PORT, 0xffff },
	{ FZ_UDP, 2, 2, FT_PORT, 0xffff },
	{ FZ_UDP, 4, 2, FT_LENGTH, 0xffff },
	{ FZ_UDP, 6, 2, FT_SUM, 0xffff },
	{ FZ_SCTP, 0, 2, FT_PORT, 0xffff },
	{ FZ_SCTP, 2, 2, FT_PORT, 0xffff },
	{ FZ_SCTP, 4, 2, FT_PLAIN, 0xffff },
	{ FZ_ICMP, 0, 1, FT_PLAIN, 0xff },
	{ FZ_ICMP, 1, 1, FT_PLAIN, 0xff },
	{ FZ_ICMP, 2, 2, FT_SUM, 0xffff },
	{ FZ_ICMP6, 0, 1, FT_PLAIN, 0xff },
	{ FZ_ICMP6, 1, 1, FT_PLAIN, 0xff },
	{ FZ_ICMP6, 2, 2, FT_SUM, 0xffff },
	{ FZ_GRE, 0, 2, FT_PLAIN, 0xf000 },
	{ FZ_GRE, 0, 2, FT_PLAIN, 0x0007 },
	{ FZ_GRE, 2, 2, FT_ETHERTYPE, 0xffff },
	{ FZ_VXLAN, 0, 1, FT_PLAIN, 0xff },
	{ FZ_GENEVE, 0, 1, FT_LENGTH, 0x3f },
	{ FZ_GENEVE, 2, 2, FT_ETHERTYPE, 0xffff },
	{ FZ_GUE, 0, 1, FT_LENGTH, 0x1f },
	{ FZ_GUE, 1, 1, FT_PROTOCOL, 0xff },
	{ FZ_GTP, 0, 1, FT_PLAIN, 0xff },
	{ FZ_GTP, 1, 1, FT_PLAIN, 0xff },
	{ FZ_GTP, 2, 2, FT_LENGTH, 0xffff },
	{ FZ_GTP_SESSION, 0, 1, FT_LENGTH, 0xff },
	{ FZ_GTP_SESSION, 1, 1, FT_PLAIN, 0xff },
	{ FZ_L2TP, 0, 2, FT_PLAIN, 0xfff0 },
	{ FZ_L2TP, 0, 2, FT_PLAIN, 0x000f },
	{ FZ_PPP, 0, 2, FT_PLAIN, 0xffff },
	{ FZ_PPPOE, 0, 2, FT_PLAIN, 0xffff },
	{ FZ_PPPOE, 4, 2, FT_LENGTH, 0xffff },
};

#define FZ_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint16_t fz_ethertypes[] = { 0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x8847,
					  0x9100, 0x88b5, 0x8864, 0,	  46,	  1500,
					  1501,	  1535,	  1536,	  0xffff };
static const uint8_t fz_protocols[] = { 6,  17, 1,  58, 132, 0, 43,  44,  60, 4,
					41, 47, 50, 51, 59,  2, 253, 255, 89, 136 };
static const uint16_t fz_ports[] = { 80, 443, 53, 8080, 22, 0, 1, 7, 1024, 4789, 6081, 65535 };

static uint32_t fz_read_field(const uint8_t *frame, const struct fz_field *field, uint32_t at)
{
	uint32_t raw = field->size == 1 ? frame[at] : (uint32_t)frame[at] << 8 | frame[at + 1];

	return (raw & field->mask) >> __builtin_ctz(field->mask);
}

static void fz_write_field(uint8_t *frame, const struct fz_field *field, uint32_t at,
			   uint32_t value)
{
	uint32_t raw = field->size == 1 ? frame[at] : (uint32_t)frame[at] << 8 | frame[at + 1];

	raw = (raw & ~(uint32_t)field->mask) |
	      ((value << __builtin_ctz(field->mask)) & field->mask);
	if (field->size == 1)
		frame[at] = (uint8_t)raw;
	else
		fz_put16(frame + at, raw);
}

/* The variant-th value worth trying in a field; false where there are no more. */
static bool fz_field_value(const struct fz_words *words, const struct fz_frame *f,
			   const struct fz_field *field, const struct fz_header *h,
			   uint32_t variant)
{
	uint32_t at = h->at + field->at, most, value, room;
	const struct fz_token *token = NULL;

	if (field->type == FT_MAC || field->type == FT_V4 || field->type == FT_V6) {
		int kind = field->type == FT_MAC ? FZ_MAC : field->type == FT_V4 ? FZ_V4 : FZ_V6;
		uint32_t count = words->of_kind_count[kind];

		if (variant < count) {
			token = fz_token_of(words, kind, variant);
			memcpy(f->data + at, words->bytes + token->at, field->size);
			return true;
		}
		variant -= count;
		switch (variant) {
		case 0:
			f->data[at + field->size - 1] ^= 1;
			return true;
		case 1:
			memset(f->data + at, 0, field->size);
			return true;
		case 2:
			memset(f->data + at, 0xff, field->size);
			return true;
		case 3:
			f->data[at] ^= 0x80;
			return true;
		case 4:
			f->data[at + field->size / 2] ^= 0x10;
			return true;
		}
		return false;
	}
	most = (uint32_t)field->mask >> __builtin_ctz(field->mask);
	value = fz_read_field(f->data, field, at);
	if (most < 16) { /* every one */
		if (variant > most)
			return false;
		fz_write_field(f->data, field, at, variant);
		return true;
	}
	if (field->type == FT_ETHERTYPE && variant < FZ_COUNT(fz_ethertypes)) {
		fz_write_field(f->data, field, at, fz_ethertypes[variant]);
		return true;
	}
	if (field->type == FT_PROTOCOL && variant < FZ_COUNT(fz_protocols)) {
		fz_write_field(f->data, field, at, fz_protocols[variant]);
		return true;
	}
	if (field->type == FT_PORT && variant < FZ_COUNT(fz_ports)) {
		fz_write_field(f->data, field, at, fz_ports[variant]);
		return true;
	}
	variant -= field->type == FT_ETHERTYPE	? FZ_COUNT(fz_ethertypes)
		   : field->type == FT_PROTOCOL ? FZ_COUNT(fz_protocols)
		   : field->type == FT_PORT	? FZ_COUNT(fz_ports)
						: 0;
	room = f->size - h->at;
	{
		const uint32_t values[] = {
			0,
			1,
			2,
			most,
			most - 1,
			most >> 1,
			(most >> 1) + 1,
			value + 1,
			value - 1,
			(value & 0xff) << 8 | (value >> 8),
			value ^ 1,
			value ^ ((most >> 1) + 1),
			4,
			7,
			8,
			16,
			20,
			64,
			room,
			room - 1,
			room + 1,
			h->size,
			h->size - 1u,
			h->size + 1u,
			value + 8,
			value - 8,
			value + 64,
			value * 2,
			value / 2,
		};
		uint32_t few = field->type == FT_LENGTH ? FZ_COUNT(values)
			       : field->type == FT_SUM	? 12
							: 18;

		if (variant < few) {
			fz_write_field(f->data, field, at, values[variant] & most);
			return true;
		}
		variant -= few;
	}
	if (field->type == FT_SUM || !(token = fz_token_of(words, FZ_NUMBER, 0)))
		return false;
	if (variant >= words->of_kind_count[FZ_NUMBER])
		return false;
	token = fz_token_of(words, FZ_NUMBER, variant);
	value = 0;
	for (uint32_t i = 0; i < token->size; i++)
		value = value << 8 | words->bytes[token->at + i];
	fz_write_field(f->data, field, at, value & most);
	return true;
}

/* The number-th field of the frame's headers; false behind the last. */
static bool fz_field_at(const struct fz_frame *f, const struct fz_walk *w, uint32_t number,
			const struct fz_field **field, const struct fz_header **header)
{
	for (uint32_t i = 0; i < w->count; i++)
		for (uint32_t j = 0; j < FZ_COUNT(fz_fields); j++) {
			const struct fz_field *each = &fz_fields[j];

			if (each->kind != w->headers[i].kind ||
			    w->headers[i].at + 0u + each->at + each->size > f->size)
				continue;
			if (!number--) {
				*field = each;
				*header = &w->headers[i];
				return true;
			}
		}
	return false;
}

/* Structure: headers come, go, change places, and become others. */

static uint32_t fz_number_word(const struct fz_words *words, uint32_t pick)
{
	const struct fz_token *token = fz_token_of(words, FZ_NUMBER, pick);
	uint32_t value = 0;

	for (uint32_t i = 0; token && i < token->size; i++)
		value = value << 8 | words->bytes[token->at + i];
	return value;
}

static bool fz_add_tag(const struct fz_words *words, struct fz_frame *f, uint32_t variant)
{
	static const uint16_t ids[] = { 7, 0, 1, 4095, 10, 100 };
	uint8_t tag[4] = { 0x81, 0 };
	uint32_t id = variant / 4;

	if (f->size < 14)
		return false;
	id = id < FZ_COUNT(ids) ? ids[id] : fz_number_word(words, id);
	fz_put16(tag + 2, (id & 0xfff) | (variant & 2 ? 0xe000 : 0));
	if (variant & 1)
		fz_put16(tag, 0x88a8);
	return fz_insert(f, 12, tag, 4);
}

static bool fz_add_options4(struct fz_frame *f, const struct fz_walk *w, uint32_t variant)
{
	static const uint8_t router_alert[] = { 0x94, 4, 0, 0 };
	static const uint8_t timestamp[] = { 68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	const struct fz_header *ip = fz_find(w, FZ_BIT(FZ_IP4));
	uint8_t fill[40];
	uint32_t size;

	if (!ip || !ip->is_whole)
		return false;
	memset(fill, 1, sizeof(fill));
	size = 4u << variant % 4;
	if (variant == 3)
		size = 40;
	if (variant == 4)
		memcpy(fill, router_alert, size = 4);
	if (variant == 5)
		memcpy(fill, timestamp, size = 12);
	if (variant == 6) {
		memset(fill, 0, size = 8);
		fill[0] = 0x83;
		fill[1] = 7;
		fill[2] = 4;
	}
	if (ip->size + size > 60)
		size = 60u - ip->size;
	if (!size || !fz_insert(f, ip->at + ip->size, fill, size))
		return false;
	f->data[ip->at] = (uint8_t)((f->data[ip->at] & 0xf0) | (ip->size + size) / 4);
	return true;
}

static bool fz_add_options_tcp(struct fz_frame *f, const struct fz_walk *w, uint32_t variant)
{
	static const uint8_t mss[] = { 2, 4, 5, 0xb4 };
	static const uint8_t syn[] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0,
				       0, 1, 0, 0,    0, 0, 1, 3,  3, 7 };
	static const uint8_t lying[] = { 2, 0, 0, 0 }, endless[] = { 8, 255, 0, 0 };
	const struct fz_header *tcp = fz_find(w, FZ_BIT(FZ_TCP));
	uint8_t fill[40];
	uint32_t size = 4;

	if (!tcp || !tcp->is_whole)
		return false;
	memset(fill, 1, sizeof(fill));
	switch (variant) {
	case 1:
		memcpy(fill, mss, 4);
		break;
	case 2:
		memcpy(fill, syn, size = 20);
		break;
	case 3:
		size = 40;
		break;
	case 4:
		memcpy(fill, lying, 4);
		break;
	case 5:
		memcpy(fill, endless, 4);
		break;
	case 6:
		memset(fill, 0, size = 12);
		break;
	}
	if (tcp->size + size > 60)
		size = 60u - tcp->size;
	if (!size || !fz_insert(f, tcp->at + tcp->size, fill, size))
		return false;
	f->data[tcp->at + 12] =
		(uint8_t)((f->data[tcp->at + 12] & 0x0f) | (tcp->size + size) / 4 << 4);
	return true;
}

static bool fz_add_extension(struct fz_frame *f, const struct fz_walk *w, uint32_t variant)
{
	static const uint8_t kinds[] = { 60, 0, 43, 44, 44, 44, 51, 0 };
	uint32_t kind = kinds[variant & 7], repeat = 1 + variant / 8 % 2 * 6, size = 8;
	uint8_t header[24] = { 0, 0, 1, 4 };
	const struct fz_header *ip = fz_find(w, FZ_BIT(FZ_IP6));

	if (!ip || !ip->is_whole)
		return false;
	if (kind == 44) {
		memset(header, 0, sizeof(header));
		fz_put16(header + 2, (variant & 7) == 4 ? 1 : (variant & 7) == 5 ? 185 << 3 : 0);
		header[7] = 9;
	}
	if (kind == 43) {
		memset(header, 0, sizeof(header));
		header[1] = 2;
		header[2] = 4;
		size = 24;
		memcpy(header + 8, f->data + ip->at + 24, 16);
	}
	if (kind == 51) {
		memset(header, 0, sizeof(header));
		header[1] = 1;
		size = 12;
	}
	if ((variant & 7) == 7) {
		header[1] = 1;
		header[3] = 12;
		size = 16;
	}
	if (kind == 43 || kind == 51 || kind == 44)
		repeat = 1;
	for (uint32_t i = 0; i < repeat; i++) {
		header[0] = f->data[ip->at + 6];
		if (!fz_insert(f, ip->at + 40u, header, size))
			return i > 0;
		f->data[ip->at + 6] = (uint8_t)kind;
	}
	return true;
}

/* Another transport header in the place of the one that is there, with the same ports. */
static bool fz_other_transport(struct fz_frame *f, const struct fz_walk *w, uint32_t variant)
{
	static const uint8_t sizes[] = { 20, 8, 12, 8 };
	static const uint8_t names[] = { 6, 17, 132, 1 };
	uint32_t to = variant % 4, number;
	uint8_t header[20] = { 0x9c, 0x40, 0, 80 };
	const struct fz_header *h;

	for (number = w->count; number--;)
		if (w->headers[number].kind >= FZ_TCP && w->headers[number].kind <= FZ_ICMP6)
			break;
	if (number == (uint32_t)-1 || !number)
		return false;
	h = &w->headers[number];
	if (!h->is_whole || h->ip == FZ_NO_IP)
		return false;
	if (FZ_PORTED >> h->kind & 1)
		memcpy(header, f->data + h->at, 4);
	fz_rename(f->data, w, number, to == 3 && w->headers[h->ip].kind == FZ_IP6 ? 58 : names[to]);
	if (to == 0) {
		header[12] = 0x50;
		header[13] = variant & 4 ? 0x02 : 0x18;
		memset(header + 14, 0xff, 2);
	}
	if (to == 1)
		header[6] = variant & 4 ? 0 : 1; /* a checksum, or none */
	if (to == 3) {
		memset(header, 0, 8);
		header[0] = w->headers[h->ip].kind == FZ_IP6 ? 128 : 8;
	}
	return fz_remove(f, h->at, h->size) && fz_insert(f, h->at, header, sizes[to]);
}

static void fz_address(const struct fz_words *words, uint8_t *at, int kind, uint32_t pick,
		       uint32_t standard)
{
	static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8 };
	const struct fz_token *token = fz_token_of(words, kind, pick);
	uint32_t size = kind == FZ_V6 ? 16 : 4;

	if (token && token->size == size) {
		memcpy(at, words->bytes + token->at, size);
		return;
	}
	if (kind == FZ_V6) {
		memcpy(at, v6, 16);
		at[15] = (uint8_t)standard;
	} else {
		fz_put32(at, 0xc0000200 + standard);
	}
}

/* IPv4 becomes IPv6 and the other way round; what is carried stays. */
static bool fz_other_network(const struct fz_words *words, struct fz_frame *f,
			     const struct fz_walk *w, uint32_t variant)
{
	uint8_t header[40] = { 0x60, 0, 0, 0, 0, 0, 6, 64 };
	uint32_t number, size, protocol;
	const struct fz_header *ip;

	for (number = 0; number < w->count; number++)
		if (FZ_IPS >> w->headers[number].kind & 1)
			break;
	if (number == w->count || !number)
		return false;
	ip = &w->headers[number];
	if (!ip->is_whole)
		return false;
	if (ip->kind == FZ_IP4) {
		protocol = f->data[ip->at + 9];
		header[6] = (uint8_t)(protocol == 1 ? 58 : protocol);
		fz_address(words, header + 8, FZ_V6, variant, 1);
		fz_address(words, header + 24, FZ_V6, variant / 8 + 1, 2);
		size = 40;
		fz_rename(f->data, w, number,
			  w->headers[number - 1].kind == FZ_IP4 ||
					  w->headers[number - 1].kind == FZ_IP6
				  ? 41
				  : 0x86dd);
	} else {
		protocol = f->data[ip->at + 6];
		memset(header, 0, sizeof(header));
		header[0] = 0x45;
		header[8] = 64;
		header[9] = (uint8_t)(protocol == 58 ? 1 : protocol);
		fz_address(words, header + 12, FZ_V4, variant, 1);
		fz_address(words, header + 16, FZ_V4, variant / 8 + 1, 2);
		size = 20;
		fz_rename(f->data, w, number,
			  w->headers[number - 1].kind == FZ_IP4 ||
					  w->headers[number - 1].kind == FZ_IP6
				  ? 4
				  : 0x0800);
	}
	return fz_remove(f, ip->at, ip->size) && fz_insert(f, ip->at, header, size);
}

/* The packet is put into a tunnel: in IPv4, in IPv6, behind GRE, in VXLAN, behind MPLS. */
static bool fz_encapsulate(const struct fz_words *words, struct fz_frame *f,
			   const struct fz_walk *w, uint32_t variant)
{
	uint8_t outer[128] = {};
	uint32_t number, size = 0, how = variant % 6, inner, protocol;
	const struct fz_header *ip;
	bool is_v6 = how == 1 || how == 3;

	for (number = 0; number < w->count; number++)
		if (FZ_IPS >> w->headers[number].kind & 1)
			break;
	if (number == w->count || !number)
		return false;
	ip = &w->headers[number];
	inner = ip->kind == FZ_IP6 ? 41 : 4;
	if (how == 5) {
		outer[2] = 1;
		outer[3] = 64;
		fz_rename(f->data, w, number, 0x8847);
		return fz_insert(f, ip->at, outer, 4);
	}
	protocol = how == 2 || how == 3 ? 47 : how == 4 ? 17 : inner;
	if (is_v6) {
		outer[0] = 0x60;
		outer[6] = (uint8_t)protocol;
		outer[7] = 64;
		fz_address(words, outer + 8, FZ_V6, variant / 6, 1);
		fz_address(words, outer + 24, FZ_V6, variant / 12, 2);
		size = 40;
	} else {
		outer[0] = 0x45;
		outer[8] = 64;
		outer[9] = (uint8_t)protocol;
		fz_address(words, outer + 12, FZ_V4, variant / 6, 1);
		fz_address(words, outer + 16, FZ_V4, variant / 12, 2);
		size = 20;
	}
	if (protocol == 47) {
		fz_put16(outer + size + 2, ip->kind == FZ_IP6 ? 0x86dd : 0x0800);
		size += 4;
	}
	if (how == 4) {
		fz_put16(outer + size, 40000);
		fz_put16(outer + size + 2, 4789);
		size += 8;
		outer[size] = 8;
		size += 8;
		memcpy(outer + size, f->data, 12);
		fz_put16(outer + size + 12, ip->kind == FZ_IP6 ? 0x86dd : 0x0800);
		size += 14;
	}
	fz_rename(f->data, w, number, is_v6 ? 0x86dd : 0x0800);
	return fz_insert(f, ip->at, outer, size);
}

static void fz_swap_bytes(uint8_t *one, uint8_t *other, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++) {
		uint8_t kept = one[i];

		one[i] = other[i];
		other[i] = kept;
	}
}

/* The other direction: MACs (1), addresses (2) and ports (4) change places. */
static bool fz_turn(struct fz_frame *f, const struct fz_walk *w, uint32_t variant)
{
	const struct fz_header *ip = fz_find(w, FZ_IPS), *ports = fz_find(w, FZ_PORTED);
	uint32_t which = variant % 4 ? variant % 8 : 7;

	if (which & 1 && f->size >= 12)
		fz_swap_bytes(f->data, f->data + 6, 6);
	if (which & 2 && ip && ip->is_whole) {
		if (ip->kind == FZ_IP4)
			fz_swap_bytes(f->data + ip->at + 12, f->data + ip->at + 16, 4);
		else
			fz_swap_bytes(f->data + ip->at + 8, f->data + ip->at + 24, 16);
	}
	if (which & 4 && ports && ports->at + 4u <= f->size)
		fz_swap_bytes(f->data + ports->at, f->data + ports->at + 2, 2);
	return true;
}

/*
 * An ICMP error about the answer to this packet: the sender reports that what came back to it, or
 * what a router on the way saw, could not be delivered.
 */
static bool fz_quote(struct fz_frame *f, const struct fz_walk *w, uint32_t variant)
{
	static const uint8_t kinds4[][2] = { { 3, 4 }, { 3, 3 }, { 11, 0 }, { 3, 1 }, { 12, 0 } };
	static const uint8_t kinds6[][2] = { { 2, 0 }, { 1, 4 }, { 3, 0 }, { 4, 0 }, { 1, 0 } };
	const struct fz_header *ip = fz_find(w, FZ_IPS), *ports = fz_find(w, FZ_PORTED);
	uint8_t outer[48] = {};
	uint32_t size, most;
	bool is_v6;

	if (!ip || !ip->is_whole)
		return false;
	is_v6 = ip->kind == FZ_IP6;
	size = is_v6 ? 40 : 20;
	memcpy(outer, f->data + ip->at, size);
	if (is_v6) {
		outer[6] = 58;
		outer[7] = 64;
	} else {
		outer[0] = 0x45;
		fz_put16(outer + 6, 0);
		outer[8] = 64;
		outer[9] = 1;
	}
	if (variant & 1) /* a router on the way */
		outer[is_v6 ? 23 : 15] = 0xfe;
	memcpy(outer + size, is_v6 ? kinds6[variant / 2 % 5] : kinds4[variant / 2 % 5], 2);
	fz_put16(outer + size + 6, 1280);
	if (is_v6)
		fz_swap_bytes(f->data + ip->at + 8, f->data + ip->at + 24, 16);
	else
		fz_swap_bytes(f->data + ip->at + 12, f->data + ip->at + 16, 4);
	if (ports && ports->at + 4u <= f->size)
		fz_swap_bytes(f->data + ports->at, f->data + ports->at + 2, 2);
	fz_repair(f->data, f->size, true, true); /* what is quoted was sound once */
	most = ip->at + ip->size + (variant / 10 % 2 ? 8u : 28u);
	if (f->size > most && ip->at + ip->size + 8u <= f->size)
		f->size = most;
	if (!fz_insert(f, ip->at, outer, size + 8))
		return false;
	return true;
}

static bool fz_fragmented(struct fz_frame *f, const struct fz_walk *w, uint32_t variant)
{
	static const uint16_t places[] = { 0x2000, 1, 185, 0x20b9, 0x1fff, 0x4000, 2, 0x8000 };
	const struct fz_header *ip = fz_find(w, FZ_IPS), *udp;
	struct fz_walk fragment;

	if (!ip || !ip->is_whole)
		return false;
	if (ip->kind == FZ_IP6) {
		if (!fz_add_extension(f, w, 3 + variant % 3))
			return false;
	} else {
		fz_put16(f->data + ip->at + 6, places[variant % FZ_COUNT(places)]);
	}
	/* Of a first fragment UDP's length is that of the whole datagram; of others it is repaired. */
	fz_walk(f->data, f->size, &fragment);
	udp = fz_find(&fragment, FZ_BIT(FZ_UDP));
	if (udp && udp->is_whole)
		fz_put16(f->data + udp->at + 4, f->size - udp->at + 1480);
	return true;
}

static bool fz_payload(const struct fz_words *words, struct fz_frame *f, const struct fz_walk *w,
		       uint32_t variant)
{
#define FZ_TEXT_OF(text) { text, sizeof(text) - 1 }
	static const struct {
		const char *text;
		uint32_t size;
	} requests[] = {
		FZ_TEXT_OF("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		FZ_TEXT_OF("GET "),
		FZ_TEXT_OF("GET /"),
		FZ_TEXT_OF("POST / HTTP/1.1\r\n\r\n"),
		FZ_TEXT_OF("GET /secret?q=1 HTTP/1.1\r\n\r\n"),
		FZ_TEXT_OF("GET /a\0b HTTP/1.1\r\n\r\n"),
		/* a path of 64 bytes, and one of 65 */
		FZ_TEXT_OF("GET /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx "
			   "HTTP/1.1\r\n\r\n"),
		FZ_TEXT_OF("GET /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx "
			   "HTTP/1.1\r\n\r\n"),
		/* a DNS query for a.example */
		FZ_TEXT_OF("\x12\x34\x01\0\0\1\0\0\0\0\0\0\1a\7example\0\0\1\0\1"),
		/* an SCTP data chunk */
		FZ_TEXT_OF("\0\x03\0\x14\0\0\0\0\0\0\0\0\0\0\0\0abcd"),
	};
	const struct fz_token *text;
	uint32_t number = variant % (FZ_COUNT(requests) + words->of_kind_count[FZ_TEXT]);

	f->size = w->payload < f->size ? w->payload : f->size;
	if (number < FZ_COUNT(requests))
		return fz_insert(f, f->size, requests[number].text, requests[number].size);
	text = fz_token_of(words, FZ_TEXT, number - FZ_COUNT(requests));
	return fz_insert(f, f->size, "GET ", 4) &&
	       fz_insert(f, f->size, words->bytes + text->at, text->size) &&
	       fz_insert(f, f->size, " HTTP/1.1\r\n\r\n", 13);
}

/*
 * A header that says how long it is gets longer by one part: a segment, options, a word. What
 * stood behind its fixed part stays where it is; lengths of what is around it are repaired later.
 */
static bool fz_grow_one(struct fz_frame *f, const struct fz_walk *w, uint32_t variant)
{
	static const uint8_t padn[8] = { 1, 6 };
	uint8_t part[16] = {};
	uint32_t number, size, unit = 1;
	const struct fz_header *h = NULL;

	for (number = w->count; number--;) {
		h = &w->headers[number];
		if (h->is_whole && (FZ_GROWS >> h->kind & 1) && !variant--)
			break;
	}
	if (number == (uint32_t)-1)
		return false;
	switch (h->kind) {
	case FZ_OPTIONS6:
		memcpy(part, padn, size = 8);
		break;
	case FZ_ROUTING6: /* its last address once more: one more segment to go */
		size = 16;
		unit = 2;
		if (h->size >= 24)
			memcpy(part, f->data + h->at + h->size - 16, 16);
		if (h->size > 8)
			f->data[h->at + 4]++;
		f->data[h->at + 3]++;
		break;
	case FZ_GENEVE:
		part[1] = 1;
		part[3] = 1;
		size = 8;
		unit = 2;
		break;
	default:
		size = 4;
	}
	number = h->kind == FZ_GENEVE || h->kind == FZ_GUE ? h->at : h->at + 1u;
	f->data[number] = (uint8_t)(f->data[number] + unit);
	return fz_insert(f, h->at + h->size, part, size);
}

static bool fz_grow(struct fz_frame *f, uint32_t variant)
{
	struct fz_walk w;
	bool has_grown = false;

	for (uint32_t times = variant / 3 % 3 + 1; times--;) {
		fz_walk(f->data, f->size, &w);
		if (!fz_grow_one(f, &w, variant % 3))
			break;
		has_grown = true;
	}
	return has_grown;
}

/* As long as the program asks about: the frame, its network layer, what a transport carries. */
static bool fz_sized(const struct fz_words *words, struct fz_frame *f, const struct fz_walk *w,
		     uint32_t variant)
{
	const struct fz_header *ip = fz_find(w, FZ_IPS), *ports = fz_find(w, FZ_PORTED);
	uint32_t from[] = { 0, ip ? ip->at : 0, ports ? ports->at : 0, w->payload };
	uint32_t at = from[variant % 4], size;

	if (!words->lengths_count || (variant % 4 && !at))
		return false;
	size = at + words->lengths[variant / 4 % words->lengths_count];
	return size >= 14 && fz_resize(f, size);
}

enum {
	FS_TAG,
	FS_OPTIONS4,
	FS_OPTIONS_TCP,
	FS_EXTENSION6,
	FS_LONGER,
	FS_PAYLOAD,
	FS_TRANSPORT,
	FS_NETWORK,
	FS_ENCAPSULATE,
	FS_QUOTE,
	FS_FRAGMENT,
	FS_TURN,
	FS_REMOVE,
	FS_TWICE,
	FS_SWAP,
	FS_GROW,
	FS_LENGTH,
	FS_KINDS
};

/* How many variants of each the deterministic stage goes through. */
static const uint8_t fz_variants[FS_KINDS] = {
	[FS_TAG] = 26,	      [FS_OPTIONS4] = 7, [FS_OPTIONS_TCP] = 7, [FS_EXTENSION6] = 16,
	[FS_LONGER] = 8,      [FS_PAYLOAD] = 18, [FS_TRANSPORT] = 8,   [FS_NETWORK] = 8,
	[FS_ENCAPSULATE] = 6, [FS_QUOTE] = 20,	 [FS_FRAGMENT] = 8,    [FS_TURN] = 8,
	[FS_REMOVE] = 12,     [FS_TWICE] = 12,	 [FS_SWAP] = 12,       [FS_GROW] = 9,
};

static uint32_t fz_variants_of(const struct fz_words *words, uint32_t op)
{
	return op == FS_LENGTH ? 4 * words->lengths_count : fz_variants[op];
}

static bool fz_restructure(const struct fz_words *words, struct fz_frame *f, uint32_t op,
			   uint32_t variant)
{
	static const uint16_t more[] = { 4, 8, 16, 24, 40, 64, 128, 1 };
	struct fz_walk w;
	uint32_t number, name;
	const struct fz_header *h;

	fz_walk(f->data, f->size, &w);
	switch (op) {
	case FS_TAG:
		return fz_add_tag(words, f, variant);
	case FS_OPTIONS4:
		return fz_add_options4(f, &w, variant);
	case FS_OPTIONS_TCP:
		return fz_add_options_tcp(f, &w, variant);
	case FS_EXTENSION6:
		return fz_add_extension(f, &w, variant);
	case FS_LONGER:
		return fz_resize(f, f->size + more[variant % FZ_COUNT(more)]);
	case FS_PAYLOAD:
		return fz_payload(words, f, &w, variant);
	case FS_TRANSPORT:
		return fz_other_transport(f, &w, variant);
	case FS_NETWORK:
		return fz_other_network(words, f, &w, variant);
	case FS_ENCAPSULATE:
		return fz_encapsulate(words, f, &w, variant);
	case FS_QUOTE:
		return fz_quote(f, &w, variant);
	case FS_FRAGMENT:
		return fz_fragmented(f, &w, variant);
	case FS_TURN:
		return fz_turn(f, &w, variant);
	case FS_GROW:
		return fz_grow(f, variant);
	case FS_LENGTH:
		return fz_sized(words, f, &w, variant);
	}
	if (w.count < 2)
		return false;
	number = 1 + variant % (w.count - 1);
	h = &w.headers[number];
	if (!h->is_whole)
		return false;
	if (op == FS_REMOVE) { /* what it said of the next, the one before it says now */
		name = number + 1 < w.count ? fz_name_of(f->data, &w, number + 1) : 0;
		if (name)
			fz_rename(f->data, &w, number, name);
		return fz_remove(f, h->at, h->size);
	}
	if (op == FS_TWICE) {
		uint8_t copy[256];

		if (h->size > sizeof(copy))
			return false;
		memcpy(copy, f->data + h->at, h->size);
		return fz_insert(f, h->at, copy, h->size);
	}
	if (number + 1 >= w.count || !w.headers[number + 1].is_whole)
		return false;
	{
		uint8_t copy[256];

		if (h->size > sizeof(copy))
			return false;
		memcpy(copy, f->data + h->at, h->size);
		memmove(f->data + h->at, f->data + h->at + h->size, h[1].size);
		memcpy(f->data + h->at + h[1].size, copy, h->size);
	}
	return true;
}

/* Bytes and words */

/* Some bytes in a row become any: mostly the first ones that the headers carry. */
static bool fz_shuffle(struct fz_random *r, struct fz_frame *f)
{
	uint32_t at = fz_below(r, f->size), size = 2 + fz_below(r, 7);
	struct fz_walk w;

	fz_walk(f->data, f->size, &w);
	if (fz_below(r, 4) && w.payload < f->size)
		at = w.payload + (fz_below(r, 2) ? 0 : fz_below(r, 16));
	for (uint32_t i = at; i < at + size && i < f->size; i++)
		f->data[i] = (uint8_t)fz_next(r);
	return true;
}

static bool fz_scribble(struct fz_random *r, struct fz_frame *f)
{
	static const uint32_t interesting[] = { 0,	1,	0x7f,	0x80,	    0xff,
						0x100,	0x7fff, 0x8000, 0xffff,	    0x10000,
						0xfffe, 64,	32,	0x7fffffff, 0xffffffff };
	uint32_t at = fz_below(r, f->size), value;

	if (fz_below(r, 4)) /* mostly where headers are */
		at = fz_below(r, f->size < 80 ? f->size : 80);
	switch (fz_below(r, 7)) {
	case 6: /* what is worked out from several bytes is met by chance alone */
		return fz_shuffle(r, f);
	case 0:
		f->data[at] ^= (uint8_t)(1 << fz_below(r, 8));
		return true;
	case 1:
		f->data[at] = (uint8_t)fz_next(r);
		return true;
	case 2:
		f->data[at] = (uint8_t)(f->data[at] + fz_below(r, 33) - 16);
		return true;
	case 3:
		if (at + 2 > f->size)
			return false;
		value = fz_u16(f->data, f->size, at) + fz_below(r, 33) - 16;
		fz_put16(f->data + at, value);
		return true;
	case 4:
		value = interesting[fz_below(r, FZ_COUNT(interesting))];
		if (at + 4 > f->size)
			return false;
		if (value > 0xffff || fz_below(r, 4) == 0)
			fz_put32(f->data + at, value);
		else
			fz_put16(f->data + at,
				 fz_below(r, 2) ? value : __builtin_bswap16((uint16_t)value));
		return true;
	}
	if (at + 2 > f->size)
		return false;
	fz_swap_bytes(f->data + at, f->data + at + 1, 1);
	return true;
}

static bool fz_put_word(const struct fz_words *words, struct fz_frame *f, uint32_t at,
			const struct fz_token *token)
{
	if (at > f->size || at + token->size > f->room)
		return false;
	if (at + token->size > f->size)
		fz_resize(f, at + token->size);
	memcpy(f->data + at, words->bytes + token->at, token->size);
	return true;
}

static bool fz_some_word(struct fz_random *r, const struct fz_words *words, struct fz_frame *f)
{
	struct fz_walk w;
	const struct fz_token *token;
	uint32_t at, how = fz_below(r, 8);

	if (!words->count)
		return false;
	token = &words->tokens[fz_below(r, words->count)];
	fz_walk(f->data, f->size, &w);
	at = fz_below(r, f->size + 1);
	if (how < 4) /* in the payload's first bytes */
		at = w.payload + fz_below(r, 24);
	if (at > f->size)
		at = f->size;
	if (how & 1)
		return fz_put_word(words, f, at, token);
	return fz_insert(f, at, words->bytes + token->at, token->size);
}

static bool fz_some_field(struct fz_random *r, const struct fz_words *words, struct fz_frame *f)
{
	const struct fz_field *field = NULL, *other = NULL;
	const struct fz_header *h = NULL, *g = NULL;
	struct fz_walk w;
	uint32_t count = 0;

	fz_walk(f->data, f->size, &w);
	for (uint32_t i = 0; i < w.count; i++)
		for (uint32_t j = 0; j < FZ_COUNT(fz_fields); j++)
			count += fz_fields[j].kind == w.headers[i].kind &&
				 w.headers[i].at + 0u + fz_fields[j].at + fz_fields[j].size <=
					 f->size;
	if (!count || !fz_field_at(f, &w, fz_below(r, count), &field, &h))
		return false;
	if (fz_below(r, 8) == 0 && fz_field_at(f, &w, fz_below(r, count), &other, &g) &&
	    other->size == field->size) {
		memmove(f->data + h->at + field->at, f->data + g->at + other->at, field->size);
		return true;
	}
	if (fz_below(r, 6) == 0) {
		for (uint32_t i = 0; i < field->size; i++)
			if (field->mask == 0 || field->mask == 0xffff || field->mask == 0xff)
				f->data[h->at + field->at + i] = (uint8_t)fz_next(r);
		return true;
	}
	return fz_field_value(words, f, field, h,
			      fz_below(r, 36 + words->of_kind_count[FZ_NUMBER]));
}

/* The headers of this frame, and what another one carries; or the other way round. */
static bool fz_splice(struct fz_random *r, struct fz_frame *f, const uint8_t *other, uint32_t size)
{
	struct fz_walk mine, its;
	uint32_t from, to;

	fz_walk(f->data, f->size, &mine);
	fz_walk(other, size, &its);
	if (fz_below(r, 2) || !mine.count || !its.count) {
		to = mine.payload;
		from = its.payload;
	} else {
		to = mine.headers[fz_below(r, mine.count)].at;
		from = its.headers[fz_below(r, its.count)].at;
	}
	if (to > f->size || from > size || to + (size - from) > f->room || to + (size - from) < 14)
		return false;
	memcpy(f->data + to, other + from, size - from);
	f->size = to + (size - from);
	return true;
}

/* Ends the frame at a header's edge, within one, or anywhere. */
static bool fz_cut(struct fz_random *r, struct fz_frame *f)
{
	struct fz_walk w;
	const struct fz_header *h;
	uint32_t size;

	fz_walk(f->data, f->size, &w);
	h = w.count ? &w.headers[fz_below(r, w.count)] : NULL;
	switch (h ? fz_below(r, 4) : 3) {
	case 0:
		size = h->at + h->size;
		break;
	case 1:
		size = h->at + fz_below(r, h->size + 1u);
		break;
	case 2:
		size = w.payload + fz_below(r, 8);
		break;
	default:
		size = fz_below(r, f->size);
	}
	if (size < 14 || size >= f->size)
		return false;
	f->size = size;
	return true;
}

/* Rows of frames: what a program keeps in its maps, it keeps for a flow, or for each of many. */

/* Other addresses and ports: those of the flow, in its own direction or in the other. */
static void fz_impose(struct fz_frame *f, const struct fz_frame *flow, bool is_turned)
{
	const struct fz_header *ip, *its, *ports, *other;
	struct fz_walk mine, whole;

	fz_walk(f->data, f->size, &mine);
	fz_walk(flow->data, flow->size, &whole);
	ip = fz_find(&mine, FZ_IPS);
	its = fz_find(&whole, FZ_IPS);
	ports = fz_find(&mine, FZ_PORTED);
	other = fz_find(&whole, FZ_PORTED);
	if (ip && its && ip->is_whole && its->is_whole && ip->kind == its->kind)
		memcpy(f->data + ip->at + (ip->kind == FZ_IP6 ? 8 : 12),
		       flow->data + its->at + (ip->kind == FZ_IP6 ? 8 : 12),
		       ip->kind == FZ_IP6 ? 32 : 8);
	if (ports && other && ports->at + 4u <= f->size && other->at + 4u <= flow->size)
		memcpy(f->data + ports->at, flow->data + other->at, 4);
	if (is_turned)
		fz_turn(f, &mine, 6);
}

/* The next of a flow: its TCP goes on, or whatever it carries is another. */
static void fz_go_on(struct fz_random *r, const struct fz_words *words, struct fz_frame *f)
{
	static const uint8_t flags[] = { 0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x01, 0x14 };
	static const uint16_t steps[] = { 0, 1, 4, 100, 1460 };
	const struct fz_header *tcp;
	struct fz_walk w;

	fz_walk(f->data, f->size, &w);
	tcp = fz_find(&w, FZ_BIT(FZ_TCP));
	if (tcp && tcp->is_whole && fz_below(r, 4)) {
		f->data[tcp->at + 13] = flags[fz_below(r, FZ_COUNT(flags))];
		for (uint32_t at = tcp->at + 4u; at <= tcp->at + 8u; at += 4) {
			uint32_t value = fz_u16(f->data, f->size, at) << 16 |
					 fz_u16(f->data, f->size, at + 2);

			fz_put32(f->data + at, value + steps[fz_below(r, FZ_COUNT(steps))]);
		}
		return;
	}
	if (fz_below(r, 2))
		fz_some_word(r, words, f);
	else if (fz_below(r, 2))
		fz_shuffle(r, f);
	else
		fz_some_field(r, words, f);
}

static bool fz_tells_flows(const struct fz_field *field)
{
	if (field->type == FT_MAC || field->type == FT_V4 || field->type == FT_V6)
		return true;
	return field->type == FT_PORT || (field->kind == FZ_TAG && field->mask == 0xfff);
}

/* Fields by which programs tell flows apart become any: one, two or all, as `pick` says. */
static bool fz_be_another(struct fz_random *r, struct fz_frame *f, uint32_t pick)
{
	const struct fz_field *field = NULL;
	const struct fz_header *h = NULL;
	struct fz_walk w;
	uint32_t count = 0, at;

	fz_walk(f->data, f->size, &w);
	for (uint32_t i = 0; fz_field_at(f, &w, i, &field, &h); i++)
		count += fz_tells_flows(field);
	for (uint32_t i = 0, number = 0; fz_field_at(f, &w, i, &field, &h); i++) {
		if (!fz_tells_flows(field))
			continue;
		if (pick % 4 && number++ != pick / 4 % count &&
		    (pick % 4 == 1 || number - 1 != pick / 1024 % count))
			continue;
		at = h->at + field->at + 0u;
		if (field->mask)
			fz_write_field(f->data, field, at, (uint32_t)fz_next(r));
		else
			fz_put16(f->data + at + field->size - 2, (uint32_t)fz_next(r));
	}
	return count;
}

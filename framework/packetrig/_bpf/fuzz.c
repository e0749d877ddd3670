// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The loop of a campaign. Frames come from three places: those that were fed (seeds, what other
 * workers found), the deterministic stages of new corpus entries, and havoc; the second and third
 * take turns. A frame that makes a counter reach a new class of counts joins the corpus.
 *
 * A story is a row of runs that begins in the set-up state. Signals are held back within one.
 */
struct fz_entry {
	uint8_t *data;
	uint32_t size;
	uint32_t near; /* where the word was put that made it new; 0: not known */
	bool is_edge; /* it reached code that none before it did, not only another count */
};

/* Where the deterministic stages of an entry have got to. */
struct fz_stage {
	uint32_t entry, stage, a, b;
};

enum {
	FZ_PATHS = 1 << 16,
	FZ_KNOWN = 1 << 13,
	FZ_NEAR = 6,
	FZ_TAIL = 8, /* bytes at a frame's end */
	FZ_MOST_WORDS = 24576, /* of one entry's stage, about */
	FZ_FEATURES = 1 << 10,
	FZ_CHOSEN_FIRST = 12,
	FZ_MOST_ENTRIES = 1 << 16
};

struct pr_fuzz {
	struct fz_random random;
	struct fz_words words;
	struct pr_limits limits;
	struct fz_entry *entries;
	uint32_t count, room;
	struct fz_stage *stages;
	uint32_t stages_count, stages_room;
	struct fz_entry *fed;
	uint32_t fed_count, fed_next, fed_room;
	uint32_t turn;
	/* what the runs of a story have in common */
	enum pr_row row;
	struct fz_frame flow;
	uint32_t flow_entry, flow_fields;
	uint32_t near; /* where the last frame got a word */
	uint32_t counters, covered;
	uint8_t *seen; /* by counter: the classes of counts that were reached */
	uint64_t *totals;
	uint8_t features[FZ_FEATURES];
	uint16_t *paths; /* how often each path was taken, by its hash */
	uint64_t *known; /* rows of counts that were looked at, by their hash */
	/* what no counter counts, but a sum of some: the other side of a branch */
	struct fz_term *terms;
	uint32_t terms_count, terms_room;
};

/* One counter of a sum; `is_last` ends it. */
struct fz_term {
	uint32_t counter;
	int16_t factor;
	bool is_last;
	bool is_seen; /* of a last one: the sum was above zero once */
};

void pr_fuzz_free(struct pr_fuzz *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < f->count; i++)
		free(f->entries[i].data);
	for (uint32_t i = f->fed_next; i < f->fed_count; i++)
		free(f->fed[i].data);
	for (int i = 0; i < FZ_TOKEN_KINDS; i++)
		free(f->words.of_kind[i]);
	free(f->words.tokens);
	free(f->words.bytes);
	free(f->entries);
	free(f->stages);
	free(f->fed);
	free(f->seen);
	free(f->totals);
	free(f->paths);
	free(f->known);
	free(f->terms);
	free(f->flow.data);
	free(f);
}

struct pr_fuzz *pr_fuzz_new(uint64_t seed, const struct pr_limits *limits, uint32_t counters)
{
	struct pr_fuzz *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->limits = *limits;
	f->counters = counters;
	f->seen = calloc(counters + 1, 1);
	f->totals = calloc(counters + 1, sizeof(*f->totals));
	f->paths = calloc(FZ_PATHS, sizeof(*f->paths));
	f->known = calloc(FZ_KNOWN, sizeof(*f->known));
	f->flow = (struct fz_frame){ calloc(limits->most + 64, 1), 0, limits->most };
	fz_seed(&f->random, seed);
	if (f->seen && f->totals && f->paths && f->known && f->flow.data)
		return f;
	pr_fuzz_free(f);
	return NULL;
}

int pr_fuzz_word(struct pr_fuzz *f, const uint8_t *bytes, uint32_t size, uint32_t kind)
{
	return fz_add_token(&f->words, bytes, size, kind);
}

static int fz_keep(struct fz_entry **list, uint32_t *count, uint32_t *room, const uint8_t *frame,
		   uint32_t size)
{
	uint8_t *copy = malloc(size);

	if (*count == *room) {
		uint32_t more = *room * 2 + 64;
		struct fz_entry *grown = realloc(*list, more * sizeof(*grown));

		if (!grown || !copy) {
			free(copy);
			return -ENOMEM;
		}
		*list = grown;
		*room = more;
	}
	if (!copy)
		return -ENOMEM;
	memcpy(copy, frame, size);
	(*list)[(*count)++] = (struct fz_entry){ copy, size, 0, false };
	return 0;
}

/* A frame to be run as it is, before anything else. */
int pr_fuzz_feed(struct pr_fuzz *f, const uint8_t *frame, uint32_t size)
{
	return fz_keep(&f->fed, &f->fed_count, &f->fed_room, frame, size);
}

uint32_t pr_fuzz_corpus(const struct pr_fuzz *f)
{
	return f->count;
}

/* How many frames were fed and not yet run. */
uint32_t pr_fuzz_waiting(const struct pr_fuzz *f)
{
	return f->fed_count - f->fed_next;
}

uint32_t pr_fuzz_covered(const struct pr_fuzz *f)
{
	return f->covered;
}

const uint64_t *pr_fuzz_totals(const struct pr_fuzz *f)
{
	return f->totals;
}

/* Corpus */

static int fz_join(struct pr_fuzz *f, const uint8_t *frame, uint32_t size, bool is_edge)
{
	int error;

	if (f->count >= FZ_MOST_ENTRIES)
		return 0;
	error = fz_keep(&f->entries, &f->count, &f->room, frame, size);
	if (error)
		return error;
	f->entries[f->count - 1].is_edge = is_edge;
	f->entries[f->count - 1].near = f->near;
	if (f->stages_count == f->stages_room) {
		uint32_t more = f->stages_room * 2 + 64;
		struct fz_stage *grown = realloc(f->stages, more * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		f->stages = grown;
		f->stages_room = more;
	}
	/* New code is gone after at once; what is a side way only, or a count, has time. */
	if (!is_edge)
		memmove(f->stages + 1, f->stages, f->stages_count * sizeof(*f->stages));
	f->stages[is_edge ? f->stages_count : 0] = (struct fz_stage){ f->count - 1, 0, 0, 0 };
	f->stages_count++;
	return 0;
}

/*
 * The next frame of an entry's deterministic stages: false when they are over. Each stage goes on
 * in `a` when a variant of `a` does nothing.
 */
enum {
	FZ_STAGE_NEAR,
	FZ_STAGE_STRUCTURE,
	FZ_STAGE_FIELDS,
	FZ_STAGE_WORDS,
	FZ_STAGE_BYTES,
	FZ_STAGE_CUTS,
	FZ_STAGE_FAR
};

static bool fz_stage_bytes(struct fz_stage *s, struct fz_frame *out, uint32_t limit)
{
	static const uint8_t most = 6;
	uint32_t variant = s->b++ % most;

	if (s->a >= limit) {
		*s = (struct fz_stage){ s->entry, FZ_STAGE_CUTS, 14, 0 };
		return false;
	}
	switch (variant) {
	case 0:
		out->data[s->a] = 0;
		break;
	case 1:
		out->data[s->a] = 0xff;
		break;
	case 2:
		out->data[s->a] ^= 0x80;
		break;
	case 3:
		out->data[s->a]++;
		break;
	case 4:
		out->data[s->a]--;
		break;
	default:
		out->data[s->a++] ^= 1;
	}
	return true;
}

/* What is compared next stands mostly beside what was compared last. */
static bool fz_stage_near(struct pr_fuzz *f, struct fz_stage *s, struct fz_frame *out)
{
	const struct fz_entry *e = &f->entries[s->entry];
	uint32_t at = e->near + s->b;

	if (!e->near || !e->is_edge || s->a >= f->words.count) {
		*s = (struct fz_stage){ s->entry, FZ_STAGE_STRUCTURE, 0, 0 };
		return false;
	}
	if (!fz_put_word(&f->words, out, at, &f->words.tokens[s->a]))
		at = 0;
	if (++s->b == FZ_NEAR) {
		s->b = 0;
		s->a++;
	}
	f->near = at;
	fz_repair(out->data, out->size, out->size != e->size, true);
	return at;
}

static bool fz_stage_words(struct pr_fuzz *f, struct fz_stage *s, struct fz_frame *out, uint32_t at,
			   uint32_t end)
{
	const struct fz_token *token = &f->words.tokens[s->a];

	if (at >= end) {
		s->b = 0;
		s->a++;
		return false;
	}
	s->b++;
	if (!fz_put_word(&f->words, out, at, token))
		return false;
	f->near = at;
	fz_repair(out->data, out->size, out->size != f->entries[s->entry].size, true);
	return true;
}

static bool fz_stage_fields(struct pr_fuzz *f, struct fz_stage *s, struct fz_frame *out,
			    const struct fz_walk *w)
{
	const struct fz_entry *e = &f->entries[s->entry];
	const struct fz_field *field = NULL;
	const struct fz_header *h = NULL;

	if (!fz_field_at(out, w, s->a, &field, &h)) {
		s->stage = e->is_edge ? FZ_STAGE_WORDS : FZ_STAGE_CUTS;
		s->a = e->is_edge ? 0 : 14;
		s->b = 0;
		return false;
	}
	if (!fz_field_value(&f->words, out, field, h, s->b)) {
		s->a++;
		s->b = 0;
		return false;
	}
	s->b++;
	if (field->type != FT_SUM)
		fz_repair(out->data, out->size, false, true);
	return true;
}

static bool fz_staged(struct pr_fuzz *f, struct fz_stage *s, struct fz_frame *out, bool *is_over)
{
	const struct fz_entry *e = &f->entries[s->entry];
	struct fz_walk w;
	uint32_t limit, size, most, tail;

	*is_over = false;
	memcpy(out->data, e->data, e->size);
	out->size = e->size;
	fz_walk(out->data, out->size, &w);
	limit = w.payload + 40 < 256 ? w.payload + 40 : 256;
	limit = limit < e->size ? limit : e->size;
	most = FZ_MOST_WORDS / (f->words.count + 1); /* large programs have many */
	most = most < 64 ? 64 : most;
	switch (s->stage) {
	case FZ_STAGE_NEAR:
		return fz_stage_near(f, s, out);
	case FZ_STAGE_STRUCTURE:
		if (s->a == FS_KINDS) {
			*s = (struct fz_stage){ s->entry, FZ_STAGE_FIELDS, 0, 0 };
			return false;
		}
		if (s->b == fz_variants_of(&f->words, s->a)) {
			s->a++;
			s->b = 0;
			return false;
		}
		if (!fz_restructure(&f->words, out, s->a, s->b++))
			return false;
		fz_repair(out->data, out->size, true, true);
		return true;
	case FZ_STAGE_FIELDS:
		return fz_stage_fields(f, s, out, &w);
	case FZ_STAGE_WORDS:
		if (s->a >= f->words.count) {
			*s = (struct fz_stage){ s->entry, FZ_STAGE_BYTES, 0, 0 };
			return false;
		}
		limit = limit < most ? limit : most;
		return fz_stage_words(f, s, out, s->b, limit + (limit == e->size));
	case FZ_STAGE_FAR: /* a program may read on where headers end for us, or up to the end */
		limit = limit < most ? limit : most;
		tail = e->size - limit < FZ_TAIL ? e->size - limit : FZ_TAIL;
		most = limit + most < e->size - tail ? limit + most : e->size - tail;
		*is_over = limit == e->size || s->a >= f->words.count;
		if (*is_over)
			return false;
		return s->b < tail ? fz_stage_words(f, s, out, e->size - tail + s->b, e->size)
				   : fz_stage_words(f, s, out, limit + s->b - tail, most);
	case FZ_STAGE_BYTES:
		return fz_stage_bytes(s, out, limit);
	}
	size = s->a;
	if (size >= e->size || size > w.payload + 8) {
		*is_over = !e->is_edge;
		*s = (struct fz_stage){ s->entry, FZ_STAGE_FAR, 0, 0 };
		return false;
	}
	out->size = size;
	if (s->b)
		fz_repair(out->data, out->size, true, true);
	s->a += s->b;
	s->b = !s->b;
	return true;
}

/* The newest ones as often as all the others. */
static uint32_t fz_some_entry(struct pr_fuzz *f)
{
	struct fz_random *r = &f->random;

	return fz_below(r, 2) && f->count > 16 ? f->count - 1 - fz_below(r, 16)
					       : fz_below(r, f->count);
}

static void fz_havoc(struct pr_fuzz *f, struct fz_frame *out, uint32_t *from)
{
	struct fz_random *r = &f->random;
	const struct fz_entry *other;
	uint32_t number = fz_some_entry(f), turns = 1U << fz_below(r, 4), repair;

	*from = number;
	out->size = f->entries[number].size;
	memcpy(out->data, f->entries[number].data, out->size);
	while (turns--) {
		switch (fz_below(r, 16)) {
		case 0:
		case 1:
		case 2:
		case 3:
		case 4:
			fz_some_field(r, &f->words, out);
			break;
		case 5:
		case 6:
		case 7: {
			uint32_t op = fz_below(r, FS_KINDS);

			fz_restructure(&f->words, out, op,
				       fz_below(r, fz_variants_of(&f->words, op) +
							   f->words.of_kind_count[FZ_TEXT]));
			break;
		}
		case 8:
		case 9:
		case 10:
			fz_some_word(r, &f->words, out);
			break;
		case 11:
		case 12:
		case 13:
			fz_scribble(r, out);
			break;
		case 14:
			other = &f->entries[fz_below(r, f->count)];
			fz_splice(r, out, other->data, other->size);
			break;
		default:
			if (!fz_below(r, 4))
				fz_cut(r, out);
		}
	}
	repair = fz_below(r, 16);
	fz_repair(out->data, out->size, repair < 10, repair < 14);
	if (!fz_below(r, 12)) /* padding, which nobody is to read */
		fz_resize(out, out->size + 1 + fz_below(r, 24));
	if (!fz_below(r, 64) && f->words.count) {
		const struct fz_token *token = &f->words.tokens[fz_below(r, f->words.count)];

		fz_insert(out, out->size, f->words.bytes + token->at, token->size);
	}
}

/* Whether the kernel's test run takes a frame of this size and kind. */
static bool fz_fits(const struct pr_limits *l, const uint8_t *frame, uint32_t size)
{
	uint32_t type;

	if (size < l->least || size > l->most)
		return false;
	if (!l->is_skb)
		return true;
	type = (uint32_t)frame[12] << 8 | frame[13];
	return !(type == 0x0800 && size < 34) && !(type == 0x86dd && size < 54);
}

bool pr_fuzz_fits(const struct pr_fuzz *f, const uint8_t *frame, uint32_t size)
{
	return fz_fits(&f->limits, frame, size);
}

/* What the next story's runs have in common; nothing while there are frames that were fed. */
void pr_fuzz_row(struct pr_fuzz *f, enum pr_row row)
{
	const struct fz_entry *e;

	f->row = f->count && f->fed_next == f->fed_count ? row : PR_ROW_ANY;
	if (f->row == PR_ROW_ANY)
		return;
	f->flow_entry = fz_some_entry(f);
	f->flow_fields = (uint32_t)fz_next(&f->random);
	e = &f->entries[f->flow_entry];
	memcpy(f->flow.data, e->data, e->size);
	f->flow.size = e->size;
}

/* The next frame of a row: of one flow, or of as many flows as there are runs. */
static void fz_in_a_row(struct pr_fuzz *f, struct fz_frame *out, uint32_t *from)
{
	struct fz_random *r = &f->random;

	*from = f->flow_entry;
	if (f->row == PR_ROW_FLOW && !fz_below(r, 3)) {
		fz_havoc(f, out, from);
	} else {
		memcpy(out->data, f->flow.data, f->flow.size);
		out->size = f->flow.size;
	}
	if (f->row == PR_ROW_FLOW) {
		if (fz_below(r, 4))
			fz_go_on(r, &f->words, out);
		fz_impose(out, &f->flow, !fz_below(r, 4));
	} else {
		fz_be_another(r, out, f->flow_fields);
	}
	fz_repair(out->data, out->size, out->size != f->flow.size, true);
}

/* Returns 1 for a fed frame, 0 for one that was made. */
static int fz_make(struct pr_fuzz *f, struct fz_frame *out, uint32_t *from)
{
	*from = 0xffffffff;
	f->near = 0;
	while (f->fed_next < f->fed_count) {
		struct fz_entry *e = &f->fed[f->fed_next++];
		bool fits = fz_fits(&f->limits, e->data, e->size) && e->size <= out->room;

		if (fits) {
			memcpy(out->data, e->data, e->size);
			out->size = e->size;
		}
		free(e->data);
		e->data = NULL;
		if (f->fed_next == f->fed_count)
			f->fed_next = f->fed_count = 0;
		if (fits)
			return 1;
	}
	if (!f->count)
		return -ENODATA;
	if (f->row != PR_ROW_ANY) {
		fz_in_a_row(f, out, from);
		if (fz_fits(&f->limits, out->data, out->size))
			return 0;
	}
	if (f->turn++ & 1)
		while (f->stages_count) {
			struct fz_stage *s = &f->stages[f->stages_count - 1];
			bool is_over;

			*from = s->entry;
			if (fz_staged(f, s, out, &is_over) &&
			    fz_fits(&f->limits, out->data, out->size))
				return 0;
			f->near = 0;
			if (is_over)
				f->stages_count--;
		}
	do
		fz_havoc(f, out, from);
	while (!fz_fits(&f->limits, out->data, out->size));
	return 0;
}

/* Coverage */

static inline uint8_t fz_class(uint64_t count)
{
	if (count <= 3)
		return (uint8_t)(1 << (count - 1));
	return count < 8 ? 8 : count < 16 ? 16 : count < 32 ? 32 : count < 128 ? 64 : 128;
}

int pr_fuzz_term(struct pr_fuzz *f, uint32_t counter, int32_t factor, bool is_last)
{
	if (counter >= f->counters)
		return -EINVAL;
	if (f->terms_count == f->terms_room) {
		uint32_t more = f->terms_room * 2 + 64;
		struct fz_term *grown = realloc(f->terms, more * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		f->terms = grown;
		f->terms_room = more;
	}
	f->terms[f->terms_count++] = (struct fz_term){ counter, (int16_t)factor, is_last, false };
	return 0;
}

static int fz_sums(struct pr_fuzz *f, const uint64_t *counters)
{
	int64_t sum = 0;
	int found = 0;

	for (uint32_t i = 0; i < f->terms_count; i++) {
		struct fz_term *t = &f->terms[i];

		sum += (int64_t)counters[t->counter] * t->factor;
		if (!t->is_last)
			continue;
		if (sum > 0 && !t->is_seen) {
			t->is_seen = true;
			found = 1;
		}
		sum = 0;
	}
	return found;
}

/*
 * Takes the counters down and clears them. Returns 1 for a new count, or for the side of a branch
 * that has no counter of its own, 2 for new code. A row of counts that was seen lately has nothing new in it.
 */
static int fz_look(struct pr_fuzz *f, uint64_t *counters, uint64_t *path)
{
	uint64_t classes = 0xcbf29ce484222325, exact = classes, *known;
	int found = 0;

	for (uint32_t i = 0; i < f->counters; i++) {
		uint64_t count = counters[i];

		if (!count)
			continue;
		f->totals[i] += count;
		classes = (classes ^ (i << 8 | fz_class(count))) * 0x100000001b3;
		exact = (exact ^ ((uint64_t)i << 32 ^ count)) * 0x9e3779b97f4a7c15;
	}
	*path = classes;
	known = &f->known[exact >> 51];
	if (*known != exact) {
		*known = exact;
		found = fz_sums(f, counters);
		for (uint32_t i = 0; i < f->counters; i++) {
			uint8_t class = counters[i] ? fz_class(counters[i]) : 0;

			if (!(class & ~f->seen[i]))
				continue;
			f->covered += !f->seen[i];
			found |= f->seen[i] ? 1 : 2;
			f->seen[i] |= class;
		}
	}
	memset(counters, 0, f->counters * sizeof(*counters));
	return found;
}

/* Stories */

void pr_story_free(struct pr_story *s)
{
	if (!s)
		return;
	free(s->retvals);
	free(s->errors);
	free(s->marks);
	free(s->metas);
	free(s->sizes);
	free(s->starts);
	free(s->frames);
	free(s->data_sizes);
	free(s->data_starts);
	free(s->data);
	free(s->contexts);
	free(s->entries);
	free(s->parents);
	free(s);
}

struct pr_story *pr_story_new(uint32_t room, uint32_t context_size)
{
	struct pr_story *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->room = room;
	s->context_size = context_size;
	s->retvals = calloc(room, sizeof(*s->retvals));
	s->errors = calloc(room, sizeof(*s->errors));
	s->marks = calloc(room, sizeof(*s->marks));
	s->metas = calloc(room, sizeof(*s->metas));
	s->sizes = calloc(room, sizeof(*s->sizes));
	s->starts = calloc(room, sizeof(*s->starts));
	s->data_sizes = calloc(room, sizeof(*s->data_sizes));
	s->data_starts = calloc(room, sizeof(*s->data_starts));
	s->contexts = calloc(room, context_size + 1);
	s->entries = calloc(room, sizeof(*s->entries));
	s->parents = calloc(room, sizeof(*s->parents));
	if (s->retvals && s->errors && s->marks && s->metas && s->sizes && s->starts &&
	    s->data_sizes && s->data_starts && s->contexts && s->entries && s->parents)
		return s;
	pr_story_free(s);
	return NULL;
}

static int fz_room(uint8_t **bytes, uint64_t *room, uint64_t used, uint64_t more)
{
	uint64_t wanted = (used + more) * 2;
	uint8_t *grown;

	if (used + more <= *room)
		return 0;
	grown = realloc(*bytes, wanted);
	if (!grown)
		return -ENOMEM;
	*bytes = grown;
	*room = wanted;
	return 0;
}

/* Runs one frame and takes down what became of it. A run that the kernel refuses is one, too. */
static int fz_run(struct pr_story *s, uint32_t i, struct pr_runner *r, const struct pr_limits *l,
		  const uint8_t *frame, uint32_t size)
{
	uint32_t meta = 0, length;
	uint8_t verdict;
	int error;

	if (l->linear && r->ctx_in_size)
		fit_xdp_context(r, size, l->linear);
	s->errors[i] = test_run(r, frame, size, r->out, r->out_capacity);
	s->retvals[i] = r->retval;
	s->marks[i] = 0;
	s->metas[i] = 0;
	s->data_sizes[i] = 0;
	if (s->errors[i]) {
		s->marks[i] = PR_REFUSED;
		return s->errors[i] == -EINTR || s->errors[i] == -EPERM || s->errors[i] == -ENOSPC
			       ? s->errors[i]
			       : 0;
	}
	if (l->is_xdp && r->ctx_out_size)
		memcpy(&meta, r->ctx_out, sizeof(meta));
	length = r->out_size - meta;
	verdict = r->retval < 255 ? l->verdicts[r->retval] : ~r->retval ? 0 : l->verdicts[255];
	if (!(verdict & PR_IS_LEGAL) && !l->any_verdict)
		s->marks[i] |= PR_ILLEGAL;
	if (verdict & PR_DROPS)
		s->marks[i] |= PR_DROPPED;
	if (verdict & PR_ABORTS)
		s->marks[i] |= PR_ABORTED;
	if (length != size)
		s->marks[i] |= PR_CHANGED | (l->keeps_length ? PR_LENGTH : 0);
	if (s->context_size)
		memcpy(s->contexts + (uint64_t)i * s->context_size, r->ctx_out, s->context_size);
	if (!r->out_capacity)
		return 0;
	if (length != size || memcmp(r->out + meta, frame, size))
		s->marks[i] |= PR_CHANGED;
	if (!(s->marks[i] & PR_CHANGED) && !meta)
		return 0;
	error = fz_room(&s->data, &s->data_room, s->data_used, r->out_size);
	if (error)
		return error;
	memcpy(s->data + s->data_used, r->out, r->out_size);
	s->metas[i] = (uint16_t)meta;
	s->data_starts[i] = s->data_used;
	s->data_sizes[i] = r->out_size;
	s->data_used += r->out_size;
	return 0;
}

/* What tells runs apart that took one way: headers of the frame, the verdict, what was done to it. */
static uint32_t fz_path(const struct pr_story *s, uint32_t i, const uint8_t *frame, uint64_t hash)
{
	struct fz_walk w;

	fz_walk(frame, s->sizes[i], &w);
	for (uint32_t j = 0; j < w.count; j++)
		hash = (hash ^ (w.headers[j].kind | w.headers[j].is_whole << 7)) * 0x100000001b3;
	hash = (hash ^ s->retvals[i] ^ s->marks[i] << 16) * 0x100000001b3;
	return (uint32_t)(hash >> 20) & (FZ_PATHS - 1);
}

static bool fz_is_new_feature(struct pr_fuzz *f, const struct pr_story *s, uint32_t i)
{
	uint32_t longer = s->data_sizes[i] ? (s->data_sizes[i] > s->sizes[i]) +
						     2 * (s->data_sizes[i] < s->sizes[i])
					   : 0;
	uint32_t at = (s->retvals[i] & 0x3f) << 4 | (s->marks[i] & PR_CHANGED) << 3 | longer;

	at &= FZ_FEATURES - 1;
	if (f->features[at])
		return false;
	f->features[at] = 1;
	return true;
}

static int fz_tell_one(struct pr_fuzz *f, struct pr_runner *r, struct pr_story *s, uint32_t i,
		       uint64_t *counters)
{
	struct fz_frame out = { .room = f->limits.most };
	uint64_t hash = 0;
	uint32_t path;
	int error, is_fed, found = 0;

	error = fz_room(&s->frames, &s->frames_room, s->frames_used, out.room + 64);
	if (error)
		return error;
	out.data = s->frames + s->frames_used;
	is_fed = fz_make(f, &out, &s->parents[i]);
	if (is_fed < 0)
		return is_fed;
	s->starts[i] = s->frames_used;
	s->sizes[i] = out.size;
	s->frames_used += out.size;
	error = fz_run(s, i, r, &f->limits, out.data, out.size);
	if (error)
		return error;
	if (counters)
		found = fz_look(f, counters, &hash);
	if (s->marks[i] & PR_REFUSED)
		return 0;
	if (f->limits.has_feedback && fz_is_new_feature(f, s, i))
		found |= 2;
	if (f->limits.every) {
		path = fz_path(s, i, out.data, hash);
		f->paths[path] += f->paths[path] < 0xffff;
		if (f->paths[path] <= FZ_CHOSEN_FIRST || !(fz_next(&f->random) % f->limits.every))
			s->marks[i] |= PR_CHOSEN;
	}
	if (f->limits.has_feedback ? !found : !is_fed)
		return 0;
	s->marks[i] |= PR_NEW;
	s->entries[i] = f->count;
	return fz_join(f, out.data, out.size, !f->limits.has_feedback || found & 2);
}

/* Enters the runner's namespace, if it has one; returns the way home, -1, or -errno below -1. */
static int fz_enter_netns(const struct pr_runner *r)
{
	int home, error;

	if (r->netns_fd < 0)
		return -1;
	home = home_netns();
	if (home < 0)
		return -errno - 1;
	if (!setns(r->netns_fd, CLONE_NEWNET))
		return home;
	error = -errno - 1;
	close(home);
	return error;
}

/*
 * Tells a story: makes and runs `count` frames from the state that the object is in. Returns 0,
 * -ENODATA where there is nothing to begin with, or -errno of the run s->count, which is not told.
 */
int pr_fuzz_tell(struct pr_fuzz *f, struct pr_runner *r, struct pr_story *s, uint64_t *counters,
		 uint32_t count)
{
	sigset_t old;
	int home, error = 0, back = 0;

	s->count = 0;
	s->frames_used = s->data_used = 0;
	if (count > s->room)
		return -EINVAL;
	block_signals(&old);
	home = fz_enter_netns(r);
	if (home < -1)
		error = home + 1;
	if (counters)
		memset(counters, 0, f->counters * sizeof(*counters));
	for (uint32_t i = 0; !error && i < count; i++) {
		error = fz_tell_one(f, r, s, i, counters);
		if (!error)
			s->count = i + 1;
	}
	if (home >= 0)
		back = leave_netns(home);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return back ? back : error;
}

/*
 * Tells a story, or its runs from `first` to before `count`, once more: by another runner, or from
 * the same state again, or with flags. Returns how many runs came out otherwise (error, bytes, context; verdicts
 * only are the caller's, who knows what they mean), or -errno.
 */
int64_t pr_story_again(const struct pr_story *s, struct pr_runner *r, const struct pr_limits *l,
		       struct pr_story *other, uint32_t first, uint32_t count, uint32_t flags)
{
	sigset_t old;
	uint32_t kept = r->flags;
	int64_t differing = 0;
	int home, error = 0, back = 0;

	if (!first)
		other->data_used = 0;
	other->count = first;
	if (count > s->count || count > other->room)
		return -EINVAL;
	block_signals(&old);
	home = fz_enter_netns(r);
	if (home < -1)
		error = home + 1;
	r->flags = flags;
	for (uint32_t i = first; !error && i < count; i++) {
		const uint8_t *frame = s->frames + s->starts[i];
		bool same;

		error = fz_run(other, i, r, l, frame, s->sizes[i]);
		if (error)
			break;
		other->count = i + 1;
		same = s->errors[i] == other->errors[i] &&
		       s->data_sizes[i] == other->data_sizes[i] && s->metas[i] == other->metas[i] &&
		       !((s->marks[i] ^ other->marks[i]) & PR_CHANGED);
		if (same && s->data_sizes[i])
			same = !memcmp(s->data + s->data_starts[i],
				       other->data + other->data_starts[i], s->data_sizes[i]);
		if (same && s->context_size && s->context_size == other->context_size)
			same = !memcmp(s->contexts + (uint64_t)i * s->context_size,
				       other->contexts + (uint64_t)i * s->context_size,
				       s->context_size);
		other->entries[i] = !same;
		differing += !same;
	}
	r->flags = kept;
	if (home >= 0)
		back = leave_netns(home);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return back ? back : error ? error : differing;
}

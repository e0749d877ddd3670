/* A campaign's inner loop: make a frame, run it, look at the counters, judge what is cheap. */
enum pr_mark {
	PR_CHANGED = 1,
	PR_NEW = 2,
	PR_ILLEGAL = 4,
	PR_ABORTED = 8,
	PR_LENGTH = 16,
	PR_DROPPED = 32,
	PR_REFUSED = 64,
	PR_CHOSEN = 128
};
enum pr_verdict {
	PR_IS_LEGAL = 1,
	PR_DROPS = 2,
	PR_ABORTS = 4
};
enum pr_row {
	PR_ROW_ANY,
	PR_ROW_FLOW,
	PR_ROW_FLOOD
};
struct pr_limits {
	uint32_t least;
	uint32_t most;
	uint32_t linear;
	bool is_skb;
	bool is_xdp;
	bool keeps_length;
	bool any_verdict;
	bool has_feedback;
	uint32_t every; /* of what is common, one run in so many is chosen; 0: none at all */
	uint8_t verdicts[256]; /* by number; 255 is -1 */
};
struct pr_story {
	uint32_t count;
	uint32_t room;
	uint32_t *retvals;
	int32_t *errors;
	uint8_t *marks;
	uint16_t *metas;
	uint32_t *sizes;
	uint64_t *starts; /* of frame i in `frames` */
	uint8_t *frames;
	uint64_t frames_used;
	uint64_t frames_room;
	uint32_t *data_sizes;
	uint64_t *data_starts; /* of what became of it, in `data`; only where it changed */
	uint8_t *data;
	uint64_t data_used;
	uint64_t data_room;
	uint8_t *contexts;
	uint32_t context_size;
	uint32_t
		*entries; /* the corpus entry that frame i became; told again: whether it differs */
	uint32_t *parents; /* the one that it was made from; -1: none, it was fed */
};
struct pr_fuzz;
struct pr_fuzz *pr_fuzz_new(uint64_t seed, const struct pr_limits *limits, uint32_t counters);
void pr_fuzz_free(struct pr_fuzz *);
int pr_fuzz_word(struct pr_fuzz *, const uint8_t *bytes, uint32_t size, uint32_t kind);
int pr_fuzz_feed(struct pr_fuzz *, const uint8_t *frame, uint32_t size);
void pr_fuzz_row(struct pr_fuzz *, enum pr_row row);
bool pr_fuzz_fits(const struct pr_fuzz *, const uint8_t *frame, uint32_t size);
int pr_fuzz_term(struct pr_fuzz *, uint32_t counter, int32_t factor, bool is_last);
uint32_t pr_fuzz_corpus(const struct pr_fuzz *);
uint32_t pr_fuzz_waiting(const struct pr_fuzz *);
uint32_t pr_fuzz_covered(const struct pr_fuzz *);
const uint64_t *pr_fuzz_totals(const struct pr_fuzz *);
struct pr_story *pr_story_new(uint32_t room, uint32_t context_size);
void pr_story_free(struct pr_story *);
int pr_fuzz_tell(struct pr_fuzz *, struct pr_runner *, struct pr_story *, uint64_t *counters,
		 uint32_t count);
int64_t pr_story_again(const struct pr_story *, struct pr_runner *, const struct pr_limits *,
		       struct pr_story *other, uint32_t first, uint32_t count, uint32_t flags);

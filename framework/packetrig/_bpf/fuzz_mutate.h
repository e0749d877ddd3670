/* Changing frames: by the fields of their headers, by their structure, by words, by bytes. */
struct fz_random {
	uint64_t state[4];
};
struct fz_token {
	uint32_t at;
	uint16_t size;
	uint16_t kind;
};
struct fz_words {
	uint8_t *bytes;
	uint32_t used, room;
	struct fz_token *tokens;
	uint32_t count, tokens_room;
	/* the tokens of each kind, and how many there are */
	uint32_t *of_kind[8];
	uint32_t of_kind_count[8];
	uint16_t lengths[64]; /* that the program compares with */
	uint32_t lengths_count;
};
struct fz_frame {
	uint8_t *data;
	uint32_t size;
	uint32_t room;
};

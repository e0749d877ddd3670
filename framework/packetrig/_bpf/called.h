/* Programs that call a loaded program as a function, and what the kernel notes of a redirect. */
struct pr_redirect_places {
	uint32_t context, index, flags, map_id, map_type, kern_flags;
};
int pr_redirect_places(struct pr_redirect_places *out);
int pr_prog_load_functions(uint32_t type, uint32_t expected_attach, uint32_t flags,
			   const void *insns, size_t count, const uint32_t *starts,
			   uint32_t functions);

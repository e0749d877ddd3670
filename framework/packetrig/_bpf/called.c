// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program of ours that calls a loaded program as a function, with what the verifier wants to know
 * of functions; and where the kernel notes what bpf_redirect() chose.
 */

/* The byte offset of a struct's member, those of nameless structs in it counted too; or -ENOENT. */
static int member_offset(const struct btf *btf, uint32_t type, const char *name, uint32_t *kind)
{
	const struct btf_type *found = btf__type_by_id(btf, type);
	const struct btf_member *member = btf_members(found);

	for (uint32_t i = 0; i < btf_vlen(found); i++, member++) {
		const char *called = btf__name_by_offset(btf, member->name_off);
		int at = (int)btf_member_bit_offset(found, i) / 8, inside;

		if (!strcmp(called, name)) {
			*kind = member->type;
			return at;
		}
		if (*called || !btf_is_composite(btf__type_by_id(btf, member->type)))
			continue;
		inside = member_offset(btf, member->type, name, kind);
		if (inside >= 0)
			return at + inside;
	}
	return -ENOENT;
}

static int places_in(const struct btf *btf, struct pr_redirect_places *out)
{
	const char *names[] = { "tgt_index", "flags", "map_id", "map_type", "kern_flags" };
	uint32_t *offsets[] = { &out->index, &out->flags, &out->map_id, &out->map_type,
				&out->kern_flags };
	int task = btf__find_by_name_kind(btf, "task_struct", BTF_KIND_STRUCT);
	int context = btf__find_by_name_kind(btf, "bpf_net_context", BTF_KIND_STRUCT);
	uint32_t type = 0;
	int at, base;

	if (task < 0 || context < 0)
		return -ENOENT;
	at = member_offset(btf, (uint32_t)task, "bpf_net_context", &type);
	base = member_offset(btf, (uint32_t)context, "ri", &type);
	if (at < 0 || base < 0)
		return -ENOENT;
	out->context = (uint32_t)at;
	for (int i = 0; i < 5; i++) {
		uint32_t unused;

		at = member_offset(btf, type, names[i], &unused);
		if (at < 0)
			return -ENOENT;
		*offsets[i] = (uint32_t)(base + at);
	}
	return 0;
}

/*
 * Where task_struct points to what a redirect chose, and where that stands in it.
 * Linux 401cb7dae813 ("net: Reference bpf_redirect_info via task_struct on PREEMPT_RT.") (v6.10);
 * before, it was a variable of each CPU.
 */
int pr_redirect_places(struct pr_redirect_places *out)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int error = btf ? places_in(btf, out) : -errno;

	btf__free(btf);
	return error;
}

/*
 * Loads raw instructions whose functions begin at `starts`, the first at 0. Each is told to be a
 * static one that returns an int: without types the verifier takes no tail call in a function, and
 * no callback. What is static is followed from its callers, so its arguments need no types.
 */
int pr_prog_load_functions(uint32_t type, uint32_t expected_attach, uint32_t flags,
			   const void *insns, size_t count, const uint32_t *starts,
			   uint32_t functions)
{
	struct bpf_func_info *info = calloc(functions, sizeof(*info));
	struct btf *btf = btf__new_empty();
	int number, proto, function, fd = -ENOMEM;

	if (!info || libbpf_get_error(btf))
		goto out;
	number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	proto = btf__add_func_proto(btf, number);
	function = btf__add_func(btf, "called", BTF_FUNC_STATIC, proto);
	fd = btf__load_into_kernel(btf);
	if (function < 0 || fd)
		goto out;
	for (uint32_t i = 0; i < functions; i++)
		info[i] = (struct bpf_func_info){ starts[i], (uint32_t)function };
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = expected_attach,
		    .prog_flags = flags, .prog_btf_fd = (uint32_t)btf__fd(btf), .func_info = info,
		    .func_info_cnt = functions, .func_info_rec_size = sizeof(*info));
	fd = bpf_prog_load(type, "caller", "GPL", insns, count, &options);
out:
	btf__free(btf);
	free(info);
	return fd;
}

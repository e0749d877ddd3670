// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Links and pins. The attrs are written down here: headers and a libbpf that are older than the
 * running kernel know neither tcx nor a link that is updated only while it holds the expected
 * program.
 */
#define PR_REPLACE (1U << 2) /* BPF_F_REPLACE: only if the program is still the expected one */

int pr_link_create(int prog_fd, int ifindex, uint32_t attach_type, uint32_t flags)
{
	struct {
		uint32_t prog_fd, target_ifindex, attach_type, flags;
		uint32_t relative_fd, pad;
		uint64_t expected_revision;
	} attr = {
		.prog_fd = (uint32_t)prog_fd,
		.target_ifindex = (uint32_t)ifindex,
		.attach_type = attach_type,
		.flags = flags,
	};
	long fd = syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

/* One program for another, with no moment between; -EPERM when `expected_fd` is not there. */
int pr_link_update(int link_fd, int prog_fd, int expected_fd)
{
	struct {
		uint32_t link_fd, new_prog_fd, flags, old_prog_fd;
	} attr = {
		.link_fd = (uint32_t)link_fd,
		.new_prog_fd = (uint32_t)prog_fd,
		.flags = expected_fd < 0 ? 0 : PR_REPLACE,
		.old_prog_fd = expected_fd < 0 ? 0 : (uint32_t)expected_fd,
	};

	return syscall(__NR_bpf, BPF_LINK_UPDATE, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

/* Moves on to the next link of the machine; -ENOENT behind the last. */
int pr_link_next(uint32_t *id)
{
	struct {
		uint32_t start_id, next_id, open_flags;
	} attr = { .start_id = *id };

	if (syscall(__NR_bpf, BPF_LINK_GET_NEXT_ID, &attr, sizeof(attr)) < 0)
		return -errno;
	*id = attr.next_id;
	return 0;
}

/* The interface of XDP's and tcx's links stands first in what is told of their kind. */
int pr_link_info(int fd, struct pr_link_info *out)
{
	struct {
		uint32_t type, id, prog_id, pad;
		uint32_t ifindex, rest[27];
	} info = {};
	struct {
		uint32_t bpf_fd, info_len;
		uint64_t info;
	} attr = {
		.bpf_fd = (uint32_t)fd,
		.info_len = sizeof(info),
		.info = (uint64_t)(uintptr_t)&info,
	};

	if (syscall(__NR_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		return -errno;
	out->type = info.type;
	out->id = info.id;
	out->prog_id = info.prog_id;
	out->ifindex = info.ifindex;
	return 0;
}

/* The programs at a tcx hook in their order, each with its link (0: attached without one). */
int pr_tcx_query(int ifindex, uint32_t attach_type, uint32_t *programs, uint32_t *links,
		 uint32_t room)
{
	struct {
		uint32_t target_ifindex, attach_type, query_flags, attach_flags;
		uint64_t prog_ids;
		uint32_t count, pad;
		uint64_t prog_attach_flags, link_ids, link_attach_flags, revision;
	} attr = {
		.target_ifindex = (uint32_t)ifindex,
		.attach_type = attach_type,
		.prog_ids = (uint64_t)(uintptr_t)programs,
		.count = room,
		.link_ids = (uint64_t)(uintptr_t)links,
	};

	if (syscall(__NR_bpf, BPF_PROG_QUERY, &attr, sizeof(attr)) < 0)
		return -errno;
	return (int)attr.count;
}

int pr_pin(int fd, const char *path)
{
	int error = bpf_obj_pin(fd, path);

	return error < 0 ? error : 0;
}

int pr_pinned(const char *path)
{
	return bpf_obj_get(path);
}

/*
 * tracefs as a mount that has no place in any tree: it is gone with its descriptor. The three
 * numbers are the same on every architecture; older headers do not have them.
 */
int pr_tracefs(void)
{
	enum {
		FSOPEN = 430,
		FSCONFIG = 431,
		FSMOUNT = 432,
		CLOEXEC = 1,
		CREATE = 6
	};
	long context = syscall(FSOPEN, "tracefs", CLOEXEC);
	long fd = -1;
	int error;

	if (context < 0)
		return -errno;
	if (syscall(FSCONFIG, context, CREATE, NULL, NULL, 0) == 0)
		fd = syscall(FSMOUNT, context, CLOEXEC, 0);
	error = errno;
	close((int)context);
	return fd < 0 ? -error : (int)fd;
}

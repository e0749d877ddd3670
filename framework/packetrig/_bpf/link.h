/* Links and pins: what keeps a program on an interface when its process is gone; and tracefs. */
int pr_link_create(int prog_fd, int ifindex, uint32_t attach_type, uint32_t flags);
int pr_link_update(int link_fd, int prog_fd, int expected_fd);
int pr_link_next(uint32_t *id);
struct pr_link_info {
	uint32_t type, id, prog_id, ifindex;
};
int pr_link_info(int fd, struct pr_link_info *out);
int pr_tcx_query(int ifindex, uint32_t attach_type, uint32_t *programs, uint32_t *links,
		 uint32_t room);
int pr_pin(int fd, const char *path);
int pr_pinned(const char *path);
int pr_tracefs(void);
int bpf_link_detach(int link_fd);
int bpf_link_get_fd_by_id(uint32_t id);
int bpf_map__reuse_fd(struct bpf_map *, int fd);
